// SPDX-License-Identifier: Apache-2.0

// An independent reader of a published log and of receipts: Go's own sumdb (golang.org/x/mod/sumdb, note and tlog)
// opens the signed checkpoint, makes the tree anew from the leaves, and checks every tile, inclusion and consistency.
//
// It reads one JSON request from standard input and answers with one JSON document. Only paths, lines and JSON are
// taken apart here; whatever decides is sumdb's.
package main

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

const (
	tileHeight  = 8
	tileWidth   = 1 << tileHeight
	receiptMark = "c2sp.org/tlog-proof@v1"
)

type request struct {
	Key         string        `json:"key"`
	Folder      string        `json:"folder"`
	Consistency []consistency `json:"consistency"`
	Receipts    []string      `json:"receipts"`
}

type consistency struct {
	Size  int64    `json:"size"`
	Root  string   `json:"root"`
	Proof []string `json:"proof"`
}

type answer struct {
	Log         string    `json:"log"` // "" or why the published log is refused
	Origin      string    `json:"origin"`
	Size        int64     `json:"size"`
	Root        string    `json:"root"`
	Leaves      []string  `json:"leaves"`
	Consistency []verdict `json:"consistency"`
	Receipts    []string  `json:"receipts"` // "" or why a receipt is refused
}

type verdict struct {
	Refused string   `json:"refused"` // "" or why the proof given is refused
	Proof   []string `json:"proof"`   // the one that sumdb itself makes from the tiles
}

func main() {
	var asked request
	if err := json.NewDecoder(os.Stdin).Decode(&asked); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	verifier, err := note.NewVerifier(asked.Key)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	known := note.VerifierList(verifier)
	var told answer
	if asked.Folder != "" {
		told.Log = words(readLog(asked, known, &told))
	}
	for _, receipt := range asked.Receipts {
		told.Receipts = append(told.Receipts, words(checkReceipt(receipt, known)))
	}
	json.NewEncoder(os.Stdout).Encode(told)
}

// readLog opens the checkpoint of a folder, checks all its tiles, and the consistency proofs given.
func readLog(asked request, known note.Verifiers, told *answer) error {
	text, err := os.ReadFile(filepath.Join(asked.Folder, "checkpoint"))
	if err != nil {
		return err
	}
	origin, tree, err := openCheckpoint(text, known)
	if err != nil {
		return err
	}
	told.Origin, told.Size, told.Root = origin, tree.N, tree.Hash.String()
	stored, err := grow(asked.Folder, tree, told)
	if err != nil {
		return err
	}
	if root, err := tlog.TreeHash(tree.N, stored); err != nil || root != tree.Hash {
		return fmt.Errorf("the leaves make the root %v (%v)", root, err)
	}
	for _, tile := range tlog.NewTiles(tileHeight, 0, tree.N) {
		if tile.W < tileWidth && tile.N*tileWidth+int64(tile.W) < tree.N>>uint(tileHeight*tile.L) {
			continue // an earlier form of a tile that is there
		}
		expected, err := tlog.ReadTileData(tile, stored)
		if err != nil {
			return err
		}
		if content, err := readTile(asked.Folder, tile); err != nil || !bytes.Equal(content, expected) {
			return fmt.Errorf("%s differs (%v)", tile.Path(), err)
		}
	}
	for _, each := range asked.Consistency {
		told.Consistency = append(told.Consistency, judge(each, tree, stored))
	}
	return nil
}

// grow reads the leaves from the lowest tiles and makes all other hashes of the tree from them.
func grow(folder string, tree tlog.Tree, told *answer) (hashStore, error) {
	var stored hashStore
	for index := int64(0); index < tree.N; index++ {
		place := tlog.StoredHashIndex(0, index)
		tile := tlog.TileForIndex(tileHeight, place)
		tile.W = int(min(tileWidth, tree.N-tile.N*tileWidth))
		content, err := readTile(folder, tile)
		if err != nil {
			return nil, err
		}
		leaf, err := tlog.HashFromTile(tile, content, place)
		if err != nil {
			return nil, err
		}
		hashes, err := tlog.StoredHashesForRecordHash(index, leaf, stored)
		if err != nil {
			return nil, err
		}
		stored = append(stored, hashes...)
		told.Leaves = append(told.Leaves, leaf.String())
	}
	return stored, nil
}

func judge(given consistency, tree tlog.Tree, reader tlog.HashReader) verdict {
	root, err := tlog.ParseHash(given.Root)
	if err != nil {
		return verdict{Refused: err.Error()}
	}
	proof, err := hashes(given.Proof)
	if err != nil {
		return verdict{Refused: err.Error()}
	}
	own, err := tlog.ProveTree(tree.N, given.Size, reader)
	if err != nil {
		return verdict{Refused: err.Error()}
	}
	found := verdict{Refused: words(tlog.CheckTree(proof, tree.N, tree.Hash, given.Size, root))}
	for _, hash := range own {
		found.Proof = append(found.Proof, hash.String())
	}
	return found
}

// checkReceipt decides a C2SP tlog-proof whose extra line holds the record.
func checkReceipt(receipt string, known note.Verifiers) error {
	head, checkpoint, found := strings.Cut(receipt, "\n\n")
	lines := strings.Split(head, "\n")
	if !found || len(lines) < 3 || lines[0] != receiptMark {
		return errors.New("not a receipt")
	}
	record, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(lines[1], "extra "))
	if err != nil {
		return err
	}
	index, err := strconv.ParseInt(strings.TrimPrefix(lines[2], "index "), 10, 64)
	if err != nil {
		return err
	}
	proof, err := hashes(lines[3:])
	if err != nil {
		return err
	}
	_, tree, err := openCheckpoint([]byte(checkpoint), known)
	if err != nil {
		return err
	}
	return tlog.CheckRecord(proof, tree.N, tree.Hash, index, tlog.RecordHash(record))
}

func openCheckpoint(text []byte, known note.Verifiers) (string, tlog.Tree, error) {
	opened, err := note.Open(text, known)
	if err != nil {
		return "", tlog.Tree{}, err
	}
	lines := strings.Split(opened.Text, "\n")
	if len(lines) < 4 {
		return "", tlog.Tree{}, errors.New("a checkpoint has three lines")
	}
	size, err := strconv.ParseInt(lines[1], 10, 64)
	if err != nil {
		return "", tlog.Tree{}, err
	}
	root, err := tlog.ParseHash(lines[2])
	return lines[0], tlog.Tree{N: size, Hash: root}, err
}

func hashes(encoded []string) ([]tlog.Hash, error) {
	var found []tlog.Hash
	for _, each := range encoded {
		hash, err := tlog.ParseHash(each)
		if err != nil {
			return nil, err
		}
		found = append(found, hash)
	}
	return found, nil
}

func words(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// readTile reads a published file: C2SP tlog-tiles leaves out the height that sumdb's paths tell.
func readTile(folder string, tile tlog.Tile) ([]byte, error) {
	path := "tile/" + strings.TrimPrefix(tile.Path(), fmt.Sprintf("tile/%d/", tileHeight))
	return os.ReadFile(filepath.Join(folder, path))
}

// hashStore holds all hashes of a tree in sumdb's order.
type hashStore []tlog.Hash

func (s hashStore) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	var found []tlog.Hash
	for _, index := range indexes {
		if index >= int64(len(s)) {
			return nil, fmt.Errorf("no hash %d", index)
		}
		found = append(found, s[index])
	}
	return found, nil
}

func min(a, b int64) int64 {
	if a < b {
		return a
	}
	return b
}

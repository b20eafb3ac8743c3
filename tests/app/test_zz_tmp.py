import schemathesis, pytest, time
from schemathesis.engine import from_schema, events
from tests import factories

@pytest.mark.parametrize("who", ["bank","enterprise"])
def test_api(app, who):
    uscc=factories.new_uscc(); bank=factories.bank(); factories.consent(uscc,bank)
    t = factories.token(bank) if who=="bank" else factories.signatory(uscc)
    config = schemathesis.Config.from_dict({"headers":{"Authorization": f"Bearer {t}"}, "continue-on-failure": True,
      "generation":{"max-examples":15,"deterministic":True,"database":"none"}, "phases":{"stateful":{"enabled":False}}})
    schema = schemathesis.openapi.from_wsgi("/openapi.json", app, config=config)
    t0=time.time(); n=0; seen=set()
    for e in from_schema(schema).execute():
        if isinstance(e, events.ScenarioFinished):
            n+=len(e.recorder.cases)
            for cid, cs in e.recorder.checks.items():
                for c in cs:
                    if c.failure_info is not None:
                        f=c.failure_info.failure
                        case=e.recorder.cases[cid].value
                        k=(e.label,c.name,f.title)
                        if k in seen: continue
                        seen.add(k)
                        print("FAIL", who, e.phase, e.label, c.name, type(f).__name__, f.title, f.message[:300].replace("\n"," | "), case.as_curl_command()[:400])
        elif isinstance(e, (events.NonFatalError, events.FatalError)):
            print("ERR", e.__class__.__name__, getattr(e,'label',None), str(getattr(e,'value',getattr(e,'exception',None)))[:500])
        elif isinstance(e, events.PhaseFinished): print(e.phase.name, e.status, round(time.time()-t0,1), n)
        elif isinstance(e, events.SchemaAnalysisWarnings): print("WARN", e.warnings)

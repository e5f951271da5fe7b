//! Builds that cannot work say where and why, and leave nothing.

use wharf_testkit::TempEngine;

use super::{assert_no_steps, build_text};

#[test]
fn mistakes_are_named_with_their_line() {
    let engine = TempEngine::start();
    for (dockerfile, expected) in [
        ("FROM busybox:test\nRUM true\n", "unknown instruction: RUM"),
        ("FROM busybox:test\nCOPY --form=x a b\n", "unknown flag: --form (did you mean from?)"),
        ("FROM busybox:test\nCOPY nothing /\n", "\"nothing\": not found"),
        ("FROM busybox:test\nCOPY ../../etc/passwd /\n", "forbidden path outside the build context"),
        ("FROM busybox:test AS a\nCOPY --from=b /x /\nFROM a AS b\n", "circular dependency detected on stage: b"),
        ("FROM busybox:test\nRUN --mount=type=secret,id=gone,required true\n", "secret gone: not found"),
        ("FROM busybox:test\nCOPY --chown=nosuchuser Dockerfile /\n", "invalid user \"nosuchuser\""),
        ("FROM busybox:test\nRUN echo said; exit 3\n", "did not complete successfully: exit code: 3"),
        ("FROM $NOTHING\n", "base name ($NOTHING) should not be blank"),
    ] {
        let output = build_text(&engine, dockerfile, &[]).exits(1);
        assert!(output.stderr.contains(expected), "{dockerfile}: {}", output.stderr);
        assert!(output.stderr.contains(">>>"), "{dockerfile}: {}", output.stderr);
    }
    let output = build_text(&engine, "FROM busybox:test\n", &["--target", "gone"]).exits(1);
    assert!(output.stderr.contains("target stage \"gone\" could not be found"), "{}", output.stderr);
    let output = build_text(&engine, "FROM busybox:test\nRUN echo said; exit 3\n", &[]).exits(1);
    assert!(output.stderr.contains("said"), "{}", output.stderr);
    build_text(&engine, "FROM busybox:test\n", &["-t", "Not A Name"]).exits(1);
    let missing = engine.cli(&["build", "/no/such/folder"]).exits(1);
    assert!(missing.stderr.contains("unable to prepare context"), "{}", missing.stderr);
    assert_no_steps(&engine);
    engine.finish();
}

#[test]
fn check_finds_what_could_be_better() {
    let engine = TempEngine::start();
    let output = build_text(&engine, "FROM busybox:test as Base\nMAINTAINER me\n", &["--check"]).exits(1);
    for rule in ["StageNameCasing", "FromAsCasing", "MaintainerDeprecated"] {
        assert!(output.stdout.contains(rule), "{}", output.stdout);
    }
    build_text(&engine, "FROM busybox:test\n", &["--check"]).ok();
    engine.finish();
}

//! Where results go.

use wharf_testkit::TempEngine;

use super::{build, build_text, context, run, write};

#[test]
fn results_go_to_files_and_folders() {
    let engine = TempEngine::start();
    let folder = context(&engine, &[("Dockerfile", "FROM busybox:test\nRUN echo made > /made\n")]);
    let scratch = engine.scratch();
    let out = scratch.join("out");
    build(&engine, &folder, &["-o", out.to_str().unwrap()]).ok();
    assert_eq!(std::fs::read_to_string(out.join("made")).unwrap(), "made\n");
    let tar = scratch.join("files.tar");
    build(&engine, &folder, &["-o", &format!("type=tar,dest={}", tar.display())]).ok();
    assert!(std::fs::metadata(&tar).unwrap().len() > 0);
    let (archive, id, meta) = (scratch.join("i.tar"), scratch.join("id"), scratch.join("meta"));
    let output = format!("type=oci,dest={}", archive.display());
    let (id_flag, meta_flag) = (id.to_str().unwrap(), meta.to_str().unwrap());
    let flags = ["-o", &output, "-t", "saved", "--iidfile", id_flag, "--metadata-file", meta_flag];
    build(&engine, &folder, &flags).ok();
    let written = std::fs::read_to_string(&id).unwrap();
    assert_eq!(engine.get("/images/saved/json")["Id"], written.as_str());
    assert!(std::fs::read_to_string(&meta).unwrap().contains(&written));
    engine.cli(&["rmi", "saved"]).ok();
    engine.cli(&["load", "-i", archive.to_str().unwrap()]).ok();
    assert_eq!(run(&engine, "saved", "cat /made"), "made\n");
    engine.finish();
}

#[test]
fn the_same_input_makes_the_same_image() {
    let make = || {
        let engine = TempEngine::start();
        let text = "FROM scratch\nWORKDIR /w\nCOPY a.txt sub /d/\nCOPY <<EOF /h\nx\nEOF\nENV A=b\n";
        let folder = context(&engine, &[("Dockerfile", text), ("a.txt", "1"), ("sub/b", "2")]);
        let id = build(&engine, &folder, &["-q", "--build-arg", "SOURCE_DATE_EPOCH=1000000000"]).ok().stdout;
        engine.finish();
        id
    };
    assert_eq!(make(), make());
}

#[test]
fn contexts_have_names() {
    let engine = TempEngine::start();
    let other = engine.scratch().join("other");
    write(&other, &[("o.txt", "other")]);
    let text = "FROM base\nCOPY --from=files o.txt /o\n";
    let files = format!("files={}", other.display());
    let flags = ["--build-context", &files, "--build-context", "base=docker-image://busybox:test", "-t", "named"];
    build_text(&engine, text, &flags).ok();
    assert_eq!(run(&engine, "named", "cat /o"), "other");
    engine.finish();
}

#[test]
fn the_metadata_names_the_manifest() {
    let engine = TempEngine::start();
    let file = engine.scratch().join("meta");
    build_text(
        &engine,
        "FROM busybox:test\nRUN echo 1 > /1\n",
        &["-t", "m", "--metadata-file", file.to_str().unwrap()],
    )
    .ok();
    let document: serde_json::Value = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
    let image = engine.get("/images/m/json");
    assert_eq!(document["containerimage.config.digest"], image["Id"]);
    assert_eq!(document["containerimage.digest"], image["Descriptor"]["digest"]);
    assert_ne!(document["containerimage.digest"], image["Id"]);
    engine.finish();
}

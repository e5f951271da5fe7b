//! The Dockerfiles of the build crate's corpus that need nothing but busybox.

use std::path::PathBuf;

use wharf_testkit::TempEngine;

use super::{assert_no_steps, build_text, run};

#[test]
fn what_needs_only_busybox_is_built() {
    let engine = TempEngine::start();
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../build/tests/corpus");
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.file_name().unwrap().to_string_lossy().starts_with("busybox-"));
    files.sort();
    assert!(files.len() >= 15, "{}", files.len());
    for path in files {
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        let text = std::fs::read_to_string(&path).unwrap();
        let expect = text.lines().find_map(|line| line.strip_prefix("# expect ")).unwrap();
        let (file, content) = expect.split_once(": ").unwrap();
        let built = build_text(&engine, &text, &["-t", &name]);
        assert_eq!(built.code, 0, "{name}: {}", built.stderr);
        let out = engine.scratch().join(&name);
        build_text(&engine, &text, &["-o", out.to_str().unwrap()]).ok();
        let read = std::fs::read_to_string(out.join(file.trim_start_matches('/'))).unwrap();
        assert_eq!(read.trim_end(), content, "{name}");
    }
    let inspected = engine.cli(&["inspect", "-f", "{{json .Config}}", "busybox-configuration"]).ok().stdout;
    for part in ["53/udp", "/data", "SIGQUIT", "\"Retries\":2", "org.opencontainers.image.vendor"] {
        assert!(inspected.contains(part), "{part}: {inspected}");
    }
    assert_eq!(run(&engine, "busybox-user", "id -u"), "1000\n");
    assert_no_steps(&engine);
    engine.finish();
}

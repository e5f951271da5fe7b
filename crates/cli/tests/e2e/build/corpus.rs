//! The Dockerfiles of the build crate's corpus that need nothing but busybox.

use std::path::PathBuf;

use wharf_testkit::TempEngine;

use super::{assert_no_steps, build_text};

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
    assert_no_steps(&engine);
    engine.finish();
}

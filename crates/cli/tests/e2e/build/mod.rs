//! Builds.

mod bad;
mod buildkit;
mod cache;
mod classic;
mod corpus;
mod language;
mod outputs;
mod remote;

use std::path::{Path, PathBuf};

use wharf_testkit::{Output, TempEngine};

/// A folder with these files.
fn context(engine: &TempEngine, files: &[(&str, &str)]) -> PathBuf {
    let folder = engine.scratch().join("context");
    write(&folder, files);
    folder
}

fn write(folder: &Path, files: &[(&str, &str)]) {
    std::fs::create_dir_all(folder).unwrap();
    for (name, content) in files {
        let path = folder.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }
}

/// `wharf build` of a folder with plain progress.
fn build(engine: &TempEngine, folder: &Path, flags: &[&str]) -> Output {
    let folder = folder.to_str().unwrap();
    engine.cli(&[&["build", "--progress=plain"], flags, &[folder]].concat())
}

/// A folder with a Dockerfile alone, built.
fn build_text(engine: &TempEngine, dockerfile: &str, flags: &[&str]) -> Output {
    let folder = context(engine, &[("Dockerfile", dockerfile)]);
    build(engine, &folder, flags)
}

fn run(engine: &TempEngine, image: &str, command: &str) -> String {
    engine.cli(&["run", "--rm", image, "sh", "-c", command]).ok().stdout
}

/// Nothing of any step is left.
fn assert_no_steps(engine: &TempEngine) {
    let folder = engine.root().join("containers");
    let left: Vec<_> = std::fs::read_dir(folder).unwrap().flatten().map(|entry| entry.file_name()).collect();
    let left: Vec<_> = left.iter().filter(|name| name.len() == 64).collect();
    assert!(left.is_empty(), "{left:?}");
}

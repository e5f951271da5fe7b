//! `PUT /containers/{id}/archive`: what gives way to what, and whose it becomes.

use wharf_testkit::TempEngine;

fn archive(kind: tar::EntryType, name: &str, owner: u64) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(0o755);
    header.set_uid(owner);
    header.set_gid(owner);
    header.set_size(0);
    builder.append_data(&mut header, name, &b""[..]).unwrap();
    builder.into_inner().unwrap()
}

fn put(engine: &TempEngine, query: &str, body: &[u8]) -> (u16, String) {
    let path = format!("/containers/box/archive?path=/tmp{query}");
    let answer = engine.http().request("PUT", &path, body, "application/x-tar").unwrap();
    (answer.status, answer.text())
}

fn stat(engine: &TempEngine, path: &str) -> String {
    engine.cli(&["exec", "-u", "0", "box", "stat", "-c", "%F %u:%g", path]).ok().line().to_owned()
}

#[test]
fn a_folder_gives_way_to_a_file_unless_told_otherwise() {
    let engine = TempEngine::start();
    let script = "mkdir -p /tmp/folder/below; touch /tmp/file; sleep 1000";
    engine.cli(&["run", "-d", "--name", "box", "busybox:test", "sh", "-c", script]).ok();
    wharf_testkit::wait::until("the files are there", || {
        (engine.cli(&["exec", "box", "ls", "/tmp/file"]).stdout == "/tmp/file\n").then_some(())
    });
    let (file, folder) = (archive(tar::EntryType::Regular, "folder", 0), archive(tar::EntryType::Directory, "file", 0));
    for (body, words) in [(&file, "cannot overwrite directory"), (&folder, "cannot overwrite non-directory")] {
        let (status, text) = put(&engine, "&noOverwriteDirNonDir=1", body);
        assert!(status == 400 && text.contains(words), "{status} {text}");
    }
    assert!(stat(&engine, "/tmp/folder").starts_with("directory"));
    for body in [&file, &folder] {
        assert_eq!(put(&engine, "", body).0, 200);
    }
    assert!(stat(&engine, "/tmp/folder").starts_with("regular"));
    assert!(stat(&engine, "/tmp/file").starts_with("directory"));
    engine.finish();
}

#[test]
fn files_become_the_containers_users_own_when_asked() {
    let engine = TempEngine::start();
    engine.cli(&["run", "-d", "--name", "box", "-u", "12:34", "busybox:test", "sleep", "1000"]).ok();
    assert_eq!(put(&engine, "", &archive(tar::EntryType::Regular, "theirs", 99)).0, 200);
    assert_eq!(put(&engine, "&copyUIDGID=true", &archive(tar::EntryType::Regular, "own", 99)).0, 200);
    assert_eq!(stat(&engine, "/tmp/theirs"), "regular empty file 99:99");
    assert_eq!(stat(&engine, "/tmp/own"), "regular empty file 12:34");
    engine.finish();
}

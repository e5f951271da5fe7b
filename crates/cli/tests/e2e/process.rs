//! What the process finds: environment, user, working directory, entry point, names.

use wharf_testkit::TempEngine;

fn shell(engine: &TempEngine, flags: &[&str], script: &str) -> String {
    let arguments = [&["run", "--rm"], flags, &["busybox:test", "sh", "-c", script]].concat();
    engine.cli(&arguments).ok().line().to_owned()
}

#[test]
fn environment_comes_from_flags_image_and_defaults() {
    let engine = TempEngine::start();
    let environment = shell(&engine, &["-e", "A=1", "-e", "B=two words", "-h", "named"], "env");
    for line in ["A=1", "B=two words", "HOSTNAME=named", "HOME=/root"] {
        assert!(environment.lines().any(|found| found == line), "{line} in\n{environment}");
    }
    let path = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
    assert!(environment.lines().any(|found| found == path), "{environment}");
    engine.finish();
}

#[test]
fn users_by_name_number_and_group() {
    let engine = TempEngine::start();
    assert_eq!(shell(&engine, &[], "id -u; id -g"), "0\n0");
    assert_eq!(shell(&engine, &["-u", "app"], "id -u; id -g; id -G; echo $HOME"), "1000\n1000\n1000 29\n/home/app");
    assert_eq!(shell(&engine, &["-u", "1234:99"], "id -u; id -g"), "1234\n99");
    assert_eq!(shell(&engine, &["-u", "app", "--group-add", "77"], "id -G"), "1000 29 77");
    engine.finish();
}

#[test]
fn a_working_directory_is_made() {
    let engine = TempEngine::start();
    assert_eq!(shell(&engine, &["-w", "/not/there/yet"], "pwd"), "/not/there/yet");
    assert_eq!(shell(&engine, &[], "pwd"), "/");
    engine.finish();
}

#[test]
fn entry_points_replace_and_precede() {
    let engine = TempEngine::start();
    let output = engine.cli(&["run", "--rm", "--entrypoint", "echo", "busybox:test", "a", "b"]).ok();
    assert_eq!(output.stdout, "a b\n");
    let rootfs = wharf_testkit::golden::busybox_rootfs();
    engine.import("entry:test", rootfs, &["ENTRYPOINT [\"echo\",\"from\"]", "CMD [\"image\"]", "ENV X=y"]);
    assert_eq!(engine.cli(&["run", "--rm", "entry:test"]).ok().stdout, "from image\n");
    assert_eq!(engine.cli(&["run", "--rm", "entry:test", "flags"]).ok().stdout, "from flags\n");
    let output = engine.cli(&["run", "--rm", "--entrypoint", "sh", "entry:test", "-c", "echo $X"]).ok();
    assert_eq!(output.stdout, "y\n");
    engine.finish();
}

#[test]
fn host_name_hosts_and_name_servers() {
    let engine = TempEngine::start();
    assert_eq!(shell(&engine, &["-h", "box"], "hostname; cat /etc/hostname"), "box\nbox");
    let hosts = shell(&engine, &["-h", "box", "--add-host", "db:10.9.8.7"], "cat /etc/hosts");
    assert!(hosts.lines().any(|line| line.starts_with("127.0.0.1") && line.contains("localhost")), "{hosts}");
    assert!(hosts.lines().any(|line| line.starts_with("10.") && line.contains("box")), "{hosts}");
    assert!(hosts.lines().any(|line| line.split_whitespace().eq(["10.9.8.7", "db"])), "{hosts}");
    let servers = shell(&engine, &["--dns", "9.9.9.9", "--dns-search", "example.org"], "cat /etc/resolv.conf");
    assert!(servers.contains("9.9.9.9") && servers.contains("search example.org"), "{servers}");
    engine.finish();
}

#[test]
fn mounts_of_folders_and_volumes() {
    let engine = TempEngine::start();
    let folder = engine.scratch().join("data");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("a"), "outside").unwrap();
    let bind = format!("{}:/data", folder.display());
    assert_eq!(shell(&engine, &["-v", &bind], "cat /data/a; echo inside > /data/b"), "outside");
    assert_eq!(std::fs::read_to_string(folder.join("b")).unwrap(), "inside\n");
    let read_only = format!("{bind}:ro");
    assert_eq!(shell(&engine, &["-v", &read_only], "touch /data/c 2>/dev/null || echo refused"), "refused");
    assert_eq!(shell(&engine, &["-v", "named:/v"], "echo kept > /v/x; cat /v/x"), "kept");
    assert_eq!(shell(&engine, &["-v", "named:/v"], "cat /v/x"), "kept");
    assert_eq!(shell(&engine, &["--tmpfs", "/scratch"], "grep -c ' /scratch tmpfs' /proc/mounts"), "1");
    engine.finish();
}

#[test]
fn the_root_is_copied_on_write() {
    let engine = TempEngine::start();
    engine.cli(&["run", "--name", "writer", "busybox:test", "sh", "-c", "echo mine > /etc/passwd"]).ok();
    assert!(shell(&engine, &[], "cat /etc/passwd").contains("root:x:0:0"));
    engine.cli(&["start", "-a", "writer"]).ok();
    assert_eq!(shell(&engine, &["--read-only"], "touch /x 2>/dev/null || echo refused"), "refused");
    engine.finish();
}

#[test]
fn names_are_unique_and_free_again() {
    let engine = TempEngine::start();
    engine.cli(&["create", "--name", "one", "busybox:test"]).ok();
    let output = engine.cli(&["create", "--name", "one", "busybox:test"]).exits(1);
    assert!(output.stderr.contains("already in use"), "{}", output.stderr);
    engine.cli(&["rm", "one"]).ok();
    engine.cli(&["create", "--name", "one", "busybox:test"]).ok();
    engine.finish();
}

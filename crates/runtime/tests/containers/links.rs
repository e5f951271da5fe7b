//! Images that try to lead the runtime out of the container's root.

use std::fs;
use std::os::unix::fs::symlink;

use super::harness::{Fixture, bind};

#[test]
fn a_mount_point_that_is_a_link_to_the_host() {
    let mut fixture = Fixture::new("cat /way/out/secret");
    let host = fixture.folder.path().join("host");
    let source = fixture.folder.path().join("source");
    fs::create_dir(&host).unwrap();
    fs::create_dir(&source).unwrap();
    fs::write(source.join("secret"), "inside\n").unwrap();
    symlink(&host, fixture.image().join("way")).unwrap();
    fixture.spec.mounts = vec![bind(&source, "/way/out")];
    assert_eq!(fixture.output(), "inside\n");
    assert_eq!(fs::read_dir(&host).unwrap().count(), 0);
}

#[test]
fn dots_do_not_climb_out() {
    let mut fixture = Fixture::new("ls /target");
    let source = fixture.folder.path().join("source");
    fs::create_dir(&source).unwrap();
    fs::write(source.join("seen"), "").unwrap();
    symlink("../../../../../../target", fixture.image().join("etc/up")).unwrap();
    fixture.spec.mounts = vec![bind(&source, "/etc/up")];
    assert_eq!(fixture.output(), "seen\n");
}

#[test]
fn proc_and_sys_may_not_be_links() {
    for name in ["proc", "sys"] {
        let fixture = Fixture::new("true");
        symlink("/tmp", fixture.image().join(name)).unwrap();
        let error = fixture.start_error();
        assert!(error.chain().starts_with(&format!("cannot mount /{name}")), "{}", error.chain());
    }
}

#[test]
fn a_dev_that_is_a_link_stays_inside() {
    let fixture = Fixture::new("ls /elsewhere/null /dev/null");
    symlink("/elsewhere", fixture.image().join("dev")).unwrap();
    assert_eq!(fixture.output(), "/dev/null\n/elsewhere/null\n");
}

#[test]
fn user_files_that_are_links_are_read_inside() {
    let mut fixture = Fixture::new("id -u");
    fs::remove_file(fixture.image().join("etc/passwd")).unwrap();
    symlink("/etc/real", fixture.image().join("etc/passwd")).unwrap();
    fs::write(fixture.image().join("etc/real"), "eve:x:4711:0::/:/bin/sh\n").unwrap();
    fixture.spec.process.user = "eve".to_owned();
    assert_eq!(fixture.output(), "4711\n");
}

#[test]
fn a_user_file_that_never_ends_is_not_read() {
    let mut fixture = Fixture::new("grep Gid /proc/self/status");
    fs::remove_file(fixture.image().join("etc/passwd")).unwrap();
    symlink("/dev/zero", fixture.image().join("etc/passwd")).unwrap();
    fixture.spec.process.user = "12".to_owned();
    assert_eq!(fixture.output(), "Gid:\t0\t0\t0\t0\n");
}

#[test]
fn a_masked_path_behind_a_link_is_masked_inside() {
    let mut fixture = Fixture::new("cat /etc/hidden | wc -c; ls /folder | wc -l");
    fs::write(fixture.image().join("etc/hidden"), "secret").unwrap();
    fs::create_dir(fixture.image().join("folder")).unwrap();
    fs::write(fixture.image().join("folder/file"), "").unwrap();
    symlink("../etc/hidden", fixture.image().join("tmp/link")).unwrap();
    fixture.spec.masked_paths = vec!["/tmp/link".to_owned(), "/folder".to_owned()];
    assert_eq!(fixture.output(), "0\n0\n");
}

use std::fs;
use std::io::{Read, Write};

use wharf_runtime::spec::Process;
use wharf_runtime::{Stdio, exec};
use wharf_types::{Error, Kind};

use super::harness::{Fixture, Outcome, Running, shell, streams};

fn up() -> (Fixture, Running) {
    let fixture = Fixture::new("echo up; while :; do sleep 60; done");
    let (running, mut reader) = fixture.start().unwrap();
    reader.read_exact(&mut [0; 3]).unwrap();
    (fixture, running)
}

fn run(running: &Running, process: &Process) -> Result<Outcome, Error> {
    let (mut reader, writer) = std::io::pipe().unwrap();
    let init = &running.0;
    let child = exec::spawn(init.child.pidfd(), process, streams(writer), &init.cgroup)?;
    let mut output = String::new();
    reader.read_to_string(&mut output).unwrap();
    Ok(Outcome { output, code: child.wait()? })
}

#[test]
fn it_is_in_all_namespaces_and_cgroups_of_the_container() {
    let (_fixture, running) = up();
    let script =
        "for n in pid mnt ipc uts net cgroup; do readlink /proc/self/ns/$n; done; cat /proc/self/cgroup; hostname";
    let outcome = run(&running, &shell(script)).unwrap();
    let pid = running.0.child.pid();
    for (kind, inside) in ["pid", "mnt", "ipc", "uts", "net", "cgroup"].iter().zip(outcome.output.lines()) {
        assert_eq!(fs::read_link(format!("/proc/{pid}/ns/{kind}")).unwrap().to_string_lossy(), inside);
    }
    let mut cgroups = outcome.output.lines().filter(|line| line.contains(':') && !line.contains('['));
    assert!(cgroups.all(|line| line.ends_with(":/") || line.starts_with("0::")), "{}", outcome.output);
    assert!(outcome.output.ends_with("inside\n"));
}

#[test]
fn it_is_confined_and_leaks_nothing() {
    let (_fixture, running) = up();
    let script = "ls /proc/self/fd | wc -l; grep -E '^(CapEff|CapBnd|Seccomp:)' /proc/self/status; ls /proc/self/cwd/";
    let outcome = run(&running, &shell(script)).unwrap();
    let expected =
        "4\nCapEff:\t00000000a80425fb\nCapBnd:\t00000000a80425fb\nSeccomp:\t2\nbin\ndev\netc\nproc\nroot\nsys\ntmp\n";
    assert_eq!(outcome.output, expected);
}

#[test]
fn user_folder_and_code() {
    let (_fixture, running) = up();
    let mut process = shell("id -u; pwd; exit 12");
    process.user = "bob:staff".to_owned();
    process.cwd = "/tmp".to_owned();
    assert_eq!(run(&running, &process).unwrap(), Outcome { output: "1000\n/tmp\n".to_owned(), code: 12 });
}

#[test]
fn failures_are_told_and_leave_the_container_alone() {
    let (_fixture, running) = up();
    let mut process = shell("");
    process.argv = vec!["nonsense".to_owned()];
    let error = run(&running, &process).unwrap_err();
    assert_eq!(error.kind(), Kind::CommandNotFound);
    process.cwd = "/no/where".to_owned();
    let error = run(&running, &process).unwrap_err();
    assert_eq!(error.chain(), "chdir to cwd (\"/no/where\") failed: no such file or directory");
    assert_eq!(running.0.cgroup.pids().unwrap().iter().filter(|pid| **pid == running.0.child.pid()).count(), 1);
}

#[test]
fn a_terminal_of_the_container() {
    let (_fixture, running) = up();
    let mut process = shell("tty; stty size; read x; exit $x");
    process.tty = true;
    process.tty_size = Some((5, 6));
    let mut child = exec::spawn(running.0.child.pidfd(), &process, Stdio::Terminal, &running.0.cgroup).unwrap();
    let mut terminal = fs::File::from(child.take_terminal().unwrap());
    let mut output = String::new();
    // What is typed is echoed at once, so it is typed only when the lines before are complete.
    while !output.ends_with("5 6\r\n") {
        let mut piece = [0; 64];
        let count = terminal.read(&mut piece).unwrap();
        output.push_str(&String::from_utf8_lossy(&piece[..count]));
    }
    terminal.write_all(b"21\n").unwrap();
    // The exec is reaped before anything can fail: until then the container's init could not end.
    let code = child.wait().unwrap();
    assert_eq!((output.as_str(), code), ("/dev/pts/0\r\n5 6\r\n", 21));
}

#[test]
fn a_container_that_has_ended_takes_no_more() {
    let (_fixture, running) = up();
    running.0.child.kill(9).unwrap();
    running.0.child.wait().unwrap();
    let error = run(&running, &shell("true")).unwrap_err();
    assert_eq!((error.kind(), error.chain()), (Kind::Conflict, "the container is not running".to_owned()));
}

#[test]
fn a_working_folder_through_a_descriptor_of_the_host_is_refused() {
    let (_fixture, running) = up();
    for number in 3..20 {
        let mut process = shell("pwd");
        process.cwd = format!("/proc/self/fd/{number}");
        if let Ok(outcome) = run(&running, &process) {
            panic!("descriptor {number} led to {}", outcome.output);
        }
    }
}

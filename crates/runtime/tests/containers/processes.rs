use std::fs;
use std::io::{Read, Write};

use wharf_runtime::{Starting, Stdio};

use super::harness::{Fixture, Running};

#[test]
fn exit_codes_are_passed_on() {
    assert_eq!(Fixture::new("exit 7").run().code, 7);
    assert_eq!(Fixture::new("sh -c 'kill -9 $$'; exit $?").run().code, 137);
}

#[test]
fn a_killed_init_is_128_and_the_signal() {
    let fixture = Fixture::new("echo up; sleep 60");
    let (running, mut reader) = fixture.start().unwrap();
    reader.read_exact(&mut [0; 3]).unwrap();
    running.0.child.kill(9).unwrap();
    assert_eq!(running.0.child.wait().unwrap(), 137);
}

#[test]
fn user_groups_home_and_folder() {
    let mut fixture = Fixture::new("id; echo $HOME; pwd; env | grep -c HOME");
    fixture.spec.process.user = "bob".to_owned();
    fixture.spec.process.cwd = "/not/there/yet".to_owned();
    fixture.spec.process.additional_groups = vec!["7".to_owned()];
    let expected = "uid=1000(bob) gid=1000(bob) groups=7,50(staff),1000(bob)\n/home/bob\n/not/there/yet\n1\n";
    assert_eq!(fixture.output(), expected);
    use std::os::unix::fs::MetadataExt;
    let made = fs::metadata(fixture.upper().join("not/there/yet")).unwrap();
    assert_eq!((made.uid(), made.mode() & 0o777), (0, 0o755));
}

#[test]
fn a_user_can_open_its_output_anew() {
    let mut fixture = Fixture::new("echo again > /dev/stdout");
    fixture.spec.process.user = "bob".to_owned();
    assert_eq!(fixture.output(), "again\n");
}

#[test]
fn a_terminal_has_a_name_a_size_and_a_session() {
    let mut fixture = Fixture::new(
        "tty; stty size; test -c /dev/console && echo console; ps -o tty,comm | grep -c 136,0; read x; echo got $x",
    );
    fixture.spec.process.tty = true;
    fixture.spec.process.tty_size = Some((33, 101));
    let mut init = Starting::begin(&fixture.spec, Stdio::Terminal).unwrap().release().unwrap();
    let mut terminal = fs::File::from(init.child.take_terminal().unwrap());
    let running = Running(init);
    terminal.write_all(b"hello\n").unwrap();
    let mut output = Vec::new();
    // A terminal whose last user is gone answers with an error.
    let _end = terminal.read_to_end(&mut output);
    let output = String::from_utf8(output).unwrap().replace('\r', "");
    // The echo of what was typed comes anywhere.
    for part in ["/dev/pts/0\n", "33 101\n", "console\n"] {
        assert!(output.contains(part), "{output}");
    }
    assert!(output.ends_with("got hello\n"), "{output}");
    assert_eq!(running.0.child.wait().unwrap(), 0);
}

#[test]
fn an_interrupt_character_reaches_the_program() {
    let mut fixture = Fixture::new("trap 'echo caught; exit 4' INT; echo ready; while :; do sleep 0.01; done");
    fixture.spec.process.tty = true;
    let mut init = Starting::begin(&fixture.spec, Stdio::Terminal).unwrap().release().unwrap();
    let mut terminal = fs::File::from(init.child.take_terminal().unwrap());
    let running = Running(init);
    let mut ready = [0; 7];
    terminal.read_exact(&mut ready).unwrap();
    terminal.write_all(&[3]).unwrap();
    assert_eq!(running.0.child.wait().unwrap(), 4);
}

#[test]
fn the_minimal_init_reaps_forwards_and_passes_the_code_on() {
    let script = "echo $$ $PPID; trap 'exit 9' TERM; (sleep 0.05 & exec true) ; sleep 0.2; \
                  ps -o stat,comm | grep -c Z; ls /proc/1/fd 2>/dev/null | wc -l; kill -TERM 1; while :; do sleep 0.01; done";
    let mut fixture = Fixture::new(script);
    fixture.spec.init = true;
    let outcome = fixture.run();
    assert_eq!(outcome.output, "2 1\n0\n0\n");
    assert_eq!(outcome.code, 9);
}

#[test]
fn the_minimal_init_is_confined_like_the_program() {
    let mut fixture = Fixture::new("grep -E '^(Uid|CapEff|Seccomp:)' /proc/1/status");
    fixture.spec.init = true;
    fixture.spec.process.user = "bob".to_owned();
    assert_eq!(fixture.output(), "Uid:\t1000\t1000\t1000\t1000\nCapEff:\t0000000000000000\nSeccomp:\t2\n");
}

#[test]
fn the_hosts_executable_is_out_of_reach() {
    let mut fixture = Fixture::new("cat /proc/1/exe > /tmp/copy; readlink /proc/1/exe; echo end");
    fixture.spec.init = true;
    let output = fixture.run().output;
    assert!(output.contains("denied") || output.contains("not permitted"), "{output}");
}

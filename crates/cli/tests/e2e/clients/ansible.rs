//! Ansible's `community.docker`: what a playbook asks for is there after the first run, and the second changes nothing.

use wharf_testkit::subnet::Subnet;
use wharf_testkit::{Output, foreign};

use super::Host;

#[test]
fn a_playbook_changes_nothing_the_second_time() {
    let Some(ansible) = foreign::need("ansible-playbook") else { return };
    let host = Host::start();
    let subnet = Subnet::take();
    let playbook = host.file("play.yml", include_str!("play.yml"));
    let run = |phase: &str| {
        let mut command = host.command(&ansible);
        command.args(["-i", "localhost,", "--diff", "--tags", phase]).arg(&playbook);
        command.args([
            "-e",
            &format!("subnet={} gateway={} address={}", subnet.cidr(), subnet.address(1), subnet.address(10)),
        ]);
        command.env("ANSIBLE_LOCALHOST_WARNING", "0").env("ANSIBLE_NOCOLOR", "1");
        Output::of(&mut command, b"").ok().stdout
    };
    let first = run("there");
    assert!(first.contains("changed=4 "), "{first}");
    let second = run("there");
    assert!(second.contains("changed=0 "), "the second run changes something:\n{second}");
    let third = run("gone");
    assert!(third.contains("changed=4 "), "{third}");
    assert!(run("gone").contains("changed=0 "));
    host.engine.finish();
}

//! docker-compose, the first one, as Debian has it: a project of two services, two networks, a volume and a build.

use wharf_testkit::{Output, foreign, wait};

use super::Host;

#[test]
fn a_project_goes_up_stays_as_it_is_and_goes_down() {
    let Some(compose) = foreign::need("docker-compose") else { return };
    let host = Host::start();
    host.file("docker-compose.yml", include_str!("compose.yml"));
    host.file("Dockerfile", "FROM busybox:test\nARG WHO\nRUN echo built for $WHO > /who\n");
    host.file("here/note", "from the host\n");
    let run = |arguments: &[&str]| {
        let mut command = host.command(&compose);
        Output::of(command.args(["--ansi", "never", "-p", "site"]).args(arguments), b"")
    };
    run(&["up", "-d"]).ok();
    let listed = run(&["ps"]).ok().stdout;
    assert!(listed.contains("Up (healthy)") && listed.contains("->80/tcp"), "{listed}");
    wait::until("one service has asked the other by its name", || {
        run(&["logs", "--no-color", "asker"]).ok().stdout.contains("hello from inside").then_some(())
    });
    assert_eq!(run(&["exec", "-T", "asker", "cat", "/who"]).ok().stdout, "built for compose\n");
    assert_eq!(run(&["exec", "-T", "web", "cat", "/here/note"]).ok().stdout, "from the host\n");
    assert!(run(&["port", "web", "80"]).ok().stdout.starts_with("127.0.0.1:"));
    assert_eq!(run(&["run", "--rm", "-T", "asker", "echo", "once"]).ok().stdout, "once\n");
    let again = run(&["up", "-d"]).ok().stderr;
    assert!(again.contains("site_web_1 is up-to-date") && again.contains("site_asker_1 is up-to-date"), "{again}");
    run(&["up", "-d", "--no-recreate", "--scale", "asker=2"]).ok();
    assert_eq!(run(&["ps", "-q", "asker"]).ok().stdout.lines().count(), 2);
    run(&["restart", "-t", "1", "asker"]).ok();
    run(&["pause", "web"]).ok();
    run(&["unpause", "web"]).ok();
    run(&["top", "web"]).ok();
    run(&["down", "-v", "-t", "1", "--rmi", "local"]).ok();
    assert_eq!(host.engine.get("/containers/json?all=1"), serde_json::json!([]));
    let volumes = host.engine.get("/volumes");
    assert!(volumes["Volumes"].as_array().is_none_or(Vec::is_empty), "{volumes}");
    host.engine.finish();
}

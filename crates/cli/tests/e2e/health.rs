//! Health checks: commands and native probes, what people see of them, and what an unhealthy container is worth.

use serde_json::{Value, json};
use wharf_testkit::{TempEngine, wait};

fn health(engine: &TempEngine, name: &str) -> Value {
    engine.get(&format!("/containers/{name}/json"))["State"]["Health"].clone()
}

fn until_status(engine: &TempEngine, name: &str, status: &str) -> Value {
    wait::until(status, || Some(health(engine, name)).filter(|health| health["Status"] == status))
}

const EVERY: [&str; 4] = ["--health-interval", "100ms", "--health-retries", "2"];

#[test]
fn a_command_decides_and_goes_on_without_an_engine() {
    let mut engine = TempEngine::start();
    let check = ["run", "-d", "--name", "box", "--health-cmd", "echo looked; test -e /well"];
    let rest = ["busybox:test", "sh", "-c", "touch /well; sleep 1000"];
    engine.cli(&[&check[..], &EVERY, &rest].concat()).ok();
    let well = until_status(&engine, "box", "healthy");
    assert_eq!((well["FailingStreak"].as_i64(), well["Log"][0]["Output"].as_str()), (Some(0), Some("looked\n")));
    assert!(engine.cli(&["ps"]).ok().stdout.contains("(healthy)"));
    assert_eq!(engine.cli(&["ps", "-q", "-f", "health=healthy"]).ok().stdout.lines().count(), 1);
    assert_eq!(engine.cli(&["ps", "-q", "-f", "health=none"]).ok().stdout.lines().count(), 0);
    let pid = engine.get("/containers/box/json")["State"]["Pid"].clone();
    engine.kill9();
    let root = std::path::PathBuf::from(format!("/proc/{pid}/root/well"));
    std::fs::remove_file(root).unwrap();
    std::thread::sleep(std::time::Duration::from_millis(500));
    engine.restart();
    let unwell = until_status(&engine, "box", "unhealthy");
    assert!(unwell["FailingStreak"].as_i64() >= Some(2), "{unwell}");
    assert_eq!(unwell["Log"].as_array().unwrap().len(), 5);
    engine.finish();
}

#[test]
fn native_probes_need_no_process() {
    let engine = TempEngine::start();
    let http = ["run", "-d", "--name", "web", "--health-http", "http://:80/"];
    let server = ["busybox:test", "sh", "-c", "mkdir /w; echo hi > /w/index.html; exec httpd -f -h /w"];
    engine.cli(&[&http[..], &EVERY, &server].concat()).ok();
    engine.cli(&[&["run", "-d", "--name", "port", "--health-tcp", "80"], &EVERY[..], &server].concat()).ok();
    engine.cli(&[&["run", "-d", "--name", "no", "--health-tcp", "81"], &EVERY[..], &server].concat()).ok();
    engine.cli(&[&["run", "-d", "--name", "404", "--health-http", "http://:80/x"], &EVERY[..], &server].concat()).ok();
    assert_eq!(until_status(&engine, "web", "healthy")["Log"][0]["ExitCode"], 0);
    until_status(&engine, "port", "healthy");
    let refused = until_status(&engine, "no", "unhealthy");
    assert!(refused["Log"][0]["Output"].as_str().unwrap().contains("Connection refused"), "{refused}");
    let missing = until_status(&engine, "404", "unhealthy");
    assert!(missing["Log"][0]["Output"].as_str().unwrap().contains("404"), "{missing}");
    engine.finish();
}

#[test]
fn a_check_that_hangs_is_given_up_and_a_frozen_container_is_not_checked() {
    let engine = TempEngine::start();
    let check = ["run", "-d", "--name", "box", "--health-cmd", "sleep 100", "--health-timeout", "200ms"];
    engine.cli(&[&check[..], &EVERY, &["busybox:test", "sleep", "1000"]].concat()).ok();
    let hung = until_status(&engine, "box", "unhealthy");
    assert_eq!(hung["Log"][0]["ExitCode"], -1);
    assert!(hung["Log"][0]["Output"].as_str().unwrap().starts_with("Health check exceeded timeout"), "{hung}");
    engine.cli(&["pause", "box"]).ok();
    let streak = health(&engine, "box")["FailingStreak"].clone();
    std::thread::sleep(std::time::Duration::from_millis(600));
    assert_eq!(health(&engine, "box")["FailingStreak"], streak);
    engine.cli(&["unpause", "box"]).ok();
    wait::until("checks go on", || (health(&engine, "box")["FailingStreak"] != streak).then_some(()));
    let left = engine.cli(&["exec", "box", "sh", "-c", "ps | grep -c '[s]leep 100$'"]).stdout;
    assert!(left.trim().parse::<u32>().unwrap() <= 1, "hung checks are killed: {left}");
    engine.finish();
}

#[test]
fn an_unhealthy_container_starts_again_where_asked_to() {
    let engine = TempEngine::start();
    let check = ["run", "-d", "--name", "box", "--restart-on-unhealthy", "--health-cmd", "test ! -e /sick"];
    let program = ["busybox:test", "sh", "-c", "trap 'exit 0' TERM; rm -f /sick; while :; do sleep 0.1; done"];
    engine.cli(&[&check[..], &EVERY, &program].concat()).ok();
    until_status(&engine, "box", "healthy");
    let before = engine.get("/containers/box/json")["State"]["StartedAt"].clone();
    engine.cli(&["exec", "box", "touch", "/sick"]).ok();
    wait::until("it runs again", || {
        let now = engine.get("/containers/box/json");
        let again = now["State"]["StartedAt"] != before && now["State"]["Status"] == "running";
        (again && now["RestartCount"] == 1).then_some(())
    });
    until_status(&engine, "box", "healthy");
    let events = engine.cli(&["events", "--since", "1h", "--until", "0s", "-f", "event=health_status: unhealthy"]).ok();
    assert_eq!(events.stdout.lines().count(), 1, "{}", events.stdout);
    engine.cli(&["stop", "-t", "1", "box"]).ok();
    assert_eq!(engine.get("/containers/box/json")["State"]["Status"], "exited");
    engine.finish();
}

#[test]
fn images_bring_their_checks_and_none_takes_them_away() {
    let engine = TempEngine::start();
    let image = "checked:test";
    engine.import(
        image,
        wharf_testkit::golden::busybox_rootfs(),
        &["HEALTHCHECK --interval=100ms CMD true", "CMD [\"sleep\",\"1000\"]"],
    );
    engine.cli(&["run", "-d", "--name", "box", image]).ok();
    engine.cli(&["run", "-d", "--name", "none", "--no-healthcheck", image]).ok();
    until_status(&engine, "box", "healthy");
    assert_eq!(health(&engine, "none"), Value::Null);
    let body = json!({"Image": image, "Healthcheck": {"Test": ["WHAT"]}});
    assert_eq!(engine.http().post("/containers/create", &body).unwrap().status, 400);
    let body = json!({"Image": image, "Healthcheck": {"Interval": 5}});
    let refused = engine.http().post("/containers/create", &body).unwrap();
    assert!(refused.text().contains("Interval in Healthcheck cannot be less than 1ms"), "{}", refused.text());
    engine.finish();
}

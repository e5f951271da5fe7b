//! What instructions do to an image.

use wharf_testkit::TempEngine;

use super::{build, build_text, context, run};

#[test]
fn instructions_make_layers_and_configuration() {
    let engine = TempEngine::start();
    let dockerfile = r#"
ARG BASE=busybox:test
FROM $BASE AS one
ARG GREETING=hello
ENV NAME="the world" OTHER=${GREETING:+set}
RUN echo "$GREETING $NAME $OTHER" > /greeting
FROM one
WORKDIR /srv/app
COPY --chown=7:8 --chmod=0640 a.txt sub/ ./
COPY --from=one /greeting /copied
COPY <<EOF <<'RAW' /here/
name is $NAME
EOF
raw is $NAME
RAW
RUN <<EOF
set -e
cat /copied
echo more >> /copied
EOF
ENV PATH=$PATH:/srv
USER 7:8
EXPOSE 80 90/udp
VOLUME /data
LABEL a=b "c d"="e f"
STOPSIGNAL SIGQUIT
HEALTHCHECK --interval=5s CMD true
ENTRYPOINT ["cat"]
CMD ["/copied"]
"#;
    let files = [("Dockerfile", dockerfile), ("a.txt", "A"), ("sub/b.txt", "B"), ("sub/deep/c.txt", "C")];
    let folder = context(&engine, &files);
    build(&engine, &folder, &["-t", "made:1", "-t", "other/made", "--label", "x=y", "--build-arg", "GREETING=hi"]).ok();
    assert_eq!(engine.cli(&["run", "--rm", "made:1"]).ok().stdout, "hi the world set\nmore\n");
    let look = ["run", "--rm", "--entrypoint", "sh", "other/made", "-c"];
    let script = "pwd; stat -c '%n %u %g %a' a.txt b.txt; cat /here/EOF /here/RAW; id -u";
    let shown = engine.cli(&[&look[..], &[script]].concat()).ok().stdout;
    let expected = "/srv/app\na.txt 7 8 640\nb.txt 7 8 640\nname is the world\nraw is $NAME\n7\n";
    assert_eq!(shown, expected);
    let config = engine.get("/images/made:1/json");
    let config = &config["Config"];
    assert_eq!(config["Entrypoint"], serde_json::json!(["cat"]));
    assert_eq!(config["ExposedPorts"], serde_json::json!({"80/tcp": {}, "90/udp": {}}));
    assert_eq!(config["Labels"], serde_json::json!({"a": "b", "c d": "e f", "x": "y"}));
    assert_eq!(config["StopSignal"], "SIGQUIT");
    assert_eq!(config["WorkingDir"], "/srv/app");
    assert_eq!(config["Healthcheck"]["Interval"], 5_000_000_000i64);
    engine.finish();
}

#[test]
fn steps_mount_what_they_ask_for_and_keep_none_of_it() {
    let engine = TempEngine::start();
    let dockerfile = r#"
FROM busybox:test AS tool
RUN mkdir -p /deep/er && echo tool > /deep/er/file
FROM busybox:test
RUN --mount=type=bind,target=/ctx --mount=type=bind,from=tool,source=/deep,target=/tool,rw \
    cat /ctx/a.txt /tool/er/file > /seen && echo x > /tool/written
RUN --mount=type=cache,target=/cache,id=shared echo line >> /cache/log && cp /cache/log /log
RUN --mount=type=tmpfs,target=/quick,size=1m grep ' /quick ' /proc/mounts > /mounted
RUN --mount=type=secret,id=token --mount=type=secret,id=pass,env=PASS \
    wc -c < /run/secrets/token > /lengths && echo ${#PASS} >> /lengths
RUN --network=none ip -o link | wc -l > /links
"#;
    let folder = context(&engine, &[("Dockerfile", dockerfile), ("a.txt", "from the context\n"), ("token", "12345")]);
    let token = format!("id=token,src={}", folder.join("token").display());
    let flags = ["build", "-q", "-t", "m", "--secret", &token, "--secret", "id=pass,env=PASSWORD"];
    let mut command = engine.cli_command(&flags);
    command.arg(&folder).env("PASSWORD", "sesame");
    wharf_testkit::Output::of(&mut command, b"").ok();
    let script =
        "cat /seen /log /lengths /links; grep -c size=1024k /mounted; ls -d /ctx /tool /cache /quick /run/secrets";
    let output = engine.cli(&["run", "--rm", "m", "sh", "-c", script]);
    assert_eq!(output.stdout, "from the context\ntool\nline\n5\n6\n1\n1\n", "{}", output.stderr);
    engine.finish();
}

#[test]
fn stages_that_nobody_needs_are_left_out() {
    let engine = TempEngine::start();
    let dockerfile = "FROM busybox:test AS never\nRUN exit 9\n\
        FROM busybox:test AS a\nRUN echo a > /a\nFROM busybox:test AS b\nRUN echo b > /b\n\
        FROM scratch AS last\nCOPY --from=a /a /\nCOPY --from=b /b /\nFROM never\n";
    let output = build_text(&engine, dockerfile, &["--target", "last", "-t", "both"]).ok();
    assert!(!output.stderr.contains("exit 9"), "{}", output.stderr);
    build_text(&engine, dockerfile, &[]).exits(1);
    engine.finish();
}

#[test]
fn onbuild_triggers_run_in_the_next_build() {
    let engine = TempEngine::start();
    build_text(&engine, "FROM busybox:test\nONBUILD COPY a.txt /a\nONBUILD RUN cat /a > /b\n", &["-t", "base"]).ok();
    let folder = context(&engine, &[("Dockerfile", "FROM base\nRUN cat /b > /c"), ("a.txt", "now")]);
    build(&engine, &folder, &["-t", "next"]).ok();
    assert_eq!(run(&engine, "next", "cat /c"), "now");
    assert_eq!(engine.get("/images/next/json")["Config"]["OnBuild"], serde_json::Value::Null);
    engine.finish();
}

#[test]
fn ignored_files_stay_and_archives_are_unpacked() {
    let engine = TempEngine::start();
    let files = [
        ("Dockerfile", "FROM busybox:test\nCOPY . /all\nADD in.tar /un/\nCOPY in.tar /packed/\n"),
        (".dockerignore", "*.log\n!keep.log\nnode_modules\n"),
        ("a.log", "x"),
        ("keep.log", "x"),
        ("node_modules/m.js", "x"),
    ];
    let folder = context(&engine, &files);
    let archive = wharf_testkit::golden::Archive::new().file("inner/file", 0o644, b"inside").finish();
    std::fs::write(folder.join("in.tar"), archive).unwrap();
    build(&engine, &folder, &["-t", "i"]).ok();
    let listed = run(&engine, "i", "ls -A /all; cat /un/inner/file; ls /packed");
    assert_eq!(listed, ".dockerignore\nDockerfile\nin.tar\nkeep.log\ninsidein.tar\n");
    engine.finish();
}

#[test]
fn a_dockerfile_may_come_from_standard_input() {
    let engine = TempEngine::start();
    engine.cli_stdin(&["build", "-q", "-t", "piped", "-"], b"FROM busybox:test\nRUN echo piped > /p\n").ok();
    assert_eq!(run(&engine, "piped", "cat /p"), "piped\n");
    engine.finish();
}

#[test]
fn an_archive_changes_owners_of_its_own_files_only() {
    let engine = TempEngine::start();
    let text = "FROM busybox:test\nRUN mkdir -p /d/e && echo 1 > /d/e/there && chown 7:7 /d/e/there\nADD --chown=5:6 a.tar /d/\n";
    let folder = context(&engine, &[("Dockerfile", text), ("new", "n")]);
    let mut tar = std::process::Command::new("tar");
    assert!(tar.arg("-C").arg(&folder).args(["-cf", "a.tar", "new"]).current_dir(&folder).status().unwrap().success());
    build(&engine, &folder, &["-t", "x"]).ok();
    let owners = run(&engine, "x", "stat -c %u:%g /d/new /d/e/there /d/e");
    assert_eq!(owners, "5:6\n7:7\n0:0\n");
    engine.finish();
}

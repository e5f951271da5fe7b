//! The language as a whole.

use super::*;

fn read(text: &str) -> Result<Dockerfile, Failure> {
    parse(&Source::new("Dockerfile", text))
}

fn only(text: &str) -> Kind {
    let file = read(&format!("FROM a\n{text}")).unwrap_or_else(|failure| panic!("{text}: {}", failure.message));
    file.stages[0].instructions[0].kind.clone()
}

fn refused(text: &str) -> String {
    match read(&format!("FROM a\n{text}")) {
        Ok(file) => panic!("{text} was read as {:?}", file.stages[0].instructions),
        Err(failure) => failure.message,
    }
}

#[test]
fn continuations_comments_and_empty_lines_are_joined() {
    let file = read("# hello\nFROM a\nRUN one && \\\n # a comment\n\n  two && \\  \n three\nCMD [\"x\"]\n").unwrap();
    let Kind::Run(run) = &file.stages[0].instructions[0].kind else { panic!() };
    assert_eq!(run.command, Command::Shell("one &&   two &&  three".into()));
    assert_eq!(file.stages[0].instructions[0].span, Span { first: 3, last: 7 });
    assert_eq!(file.empty_continuations, [Span::line(5)]);
    assert_eq!(file.stages[0].instructions[1].kind, Kind::Cmd(Command::Exec(vec!["x".into()])));
}

#[test]
fn two_escapes_at_the_end_are_no_continuation() {
    let file = read("FROM a\nRUN echo a\\\\\nUSER b").unwrap();
    assert_eq!(file.stages[0].instructions.len(), 2);
    let file = read("# escape=`\nFROM a\nRUN dir `\n c:\\\nUSER b").unwrap();
    let Kind::Run(run) = &file.stages[0].instructions[0].kind else { panic!() };
    assert_eq!(run.command, Command::Shell("dir  c:\\".into()));
}

#[test]
fn directives_stand_before_everything_else() {
    let file = read("# syntax = docker/dockerfile:1\n# check=skip=JSONArgsRecommended,StageNameCasing;error=true\n#escape=`\nFROM a").unwrap();
    assert_eq!(file.directives.syntax.as_deref(), Some("docker/dockerfile:1"));
    assert_eq!(file.directives.escape, '`');
    assert!(file.directives.check.error);
    assert_eq!(file.directives.check.skip.len(), 2);
    assert_eq!(read("# a comment\n# escape=`\nFROM a").unwrap().directives.escape, '\\');
    assert!(read("# escape=x\nFROM a").is_err());
    assert!(read("# escape=`\n# escape=`\nFROM a").is_err());
}

#[test]
fn heredocs_come_in_all_forms() {
    let Kind::Run(run) = only("RUN <<EOF\necho a\n  echo $b\nEOF\n") else { panic!() };
    assert_eq!(run.heredocs[0].content, "echo a\n  echo $b\n");
    assert!(run.heredocs[0].expand);
    let Kind::Run(run) = only("RUN python3 <<-\"EOF\" > /x\n\tprint(1)\n\tEOF\n") else { panic!() };
    assert_eq!((run.heredocs[0].text().as_str(), run.heredocs[0].expand), ("print(1)\n", false));
    assert_eq!(run.command, Command::Shell("python3 <<-\"EOF\" > /x".into()));
    let Kind::Copy(copy) = only("COPY --chmod=755 <<a <<'b' c /dir/\n1\na\n2\nb\n") else { panic!() };
    assert_eq!(copy.sources.len(), 3);
    let Origin::Heredoc(second) = &copy.sources[1] else { panic!() };
    assert_eq!((second.name.as_str(), second.content.as_str(), second.expand), ("b", "2\n", false));
    assert_eq!(copy.sources[2], Origin::Path("c".into()));
    let Kind::Run(run) = only("RUN 3<<EOF cat\nx\nEOF") else { panic!() };
    assert_eq!(run.heredocs[0].descriptor, 3);
    assert!(refused("RUN <<EOF\nx\n").contains("unterminated heredoc"));
    assert!(refused("COPY a <<EOF\nx\nEOF").contains("heredoc as a destination"));
    let Kind::Run(run) = only("RUN echo $((1<<2)) <<< x") else { panic!() };
    assert!(run.heredocs.is_empty());
}

#[test]
fn every_flag_is_read() {
    let Kind::Run(run) =
        only("RUN --mount=type=cache,target=/c --mount=target=/d --network=none --security=insecure ls --x")
    else {
        panic!()
    };
    assert_eq!((run.mounts.len(), run.network, run.security), (2, Network::None, Security::Insecure));
    assert_eq!(run.command, Command::Shell("ls --x".into()));
    let Kind::Copy(copy) =
        only("COPY --from=b --link --chown=1:2 --chmod=0644 --parents --exclude=*.a --exclude=*.b [\"x y\", \"/z\"]")
    else {
        panic!()
    };
    assert_eq!(copy.from.as_deref(), Some("b"));
    assert!(copy.link && copy.parents && copy.excludes == ["*.a", "*.b"]);
    assert_eq!(copy.sources, [Origin::Path("x y".into())]);
    let Kind::Add(add) = only("ADD --checksum=sha256:00 --keep-git-dir=true --unpack=false https://x/y /z") else {
        panic!()
    };
    assert!(add.keep_git_dir && add.unpack == Some(false) && add.checksum.is_some());
    let Kind::Healthcheck(health) =
        only("HEALTHCHECK --interval=5m --timeout=3s --start-interval=1s --retries=2 CMD curl x || exit 1")
    else {
        panic!()
    };
    assert_eq!((health.interval, health.retries), (300_000_000_000, 2));
    assert_eq!(health.test, HealthTest::Command(Command::Shell("curl x || exit 1".into())));
    assert_eq!(only("HEALTHCHECK NONE"), Kind::Healthcheck(Health::default()));
}

#[test]
fn both_forms_of_pairs_are_read() {
    let pair = |name: &str, value: &str, legacy| Pair { name: name.into(), value: value.into(), legacy };
    assert_eq!(only("ENV a b c"), Kind::Env(vec![pair("a", "b c", true)]));
    assert_eq!(
        only("ENV a=b\\ c d=\"e f\" g=''"),
        Kind::Env(vec![pair("a", "b\\ c", false), pair("d", "\"e f\"", false), pair("g", "''", false)])
    );
    assert_eq!(
        only("ARG a b=c"),
        Kind::Arg(vec![Arg { name: "a".into(), default: None }, Arg { name: "b".into(), default: Some("c".into()) }])
    );
    assert_eq!(only("VOLUME [\"/a b\"]"), Kind::Volume(vec!["/a b".into()]));
    assert_eq!(only("SHELL [\"/bin/sh\", \"-c\"]"), Kind::Shell(vec!["/bin/sh".into(), "-c".into()]));
    assert_eq!(only("cmd echo [\"a\"]"), Kind::Cmd(Command::Shell("echo [\"a\"]".into())));
}

#[test]
fn what_cannot_be_read_is_named() {
    for (text, expected) in [
        ("FORM x", "unknown instruction: FORM"),
        ("RUN", "RUN requires at least one argument"),
        (
            "COPY a",
            "COPY requires at least two arguments, but only one was provided. Destination could not be determined",
        ),
        ("COPY --form=x a b", "unknown flag: --form (did you mean from?)"),
        ("USER --x=y z", "unknown flag: --x"),
        ("ENV a", "ENV must have two arguments"),
        ("ENV a=b c", "Syntax error - can't find = in \"c\". Must be of the form: name=value"),
        ("ENV =a", "ENV names can not be blank"),
        ("SHELL sh", "SHELL requires the arguments to be in JSON form"),
        ("ONBUILD FROM x", "FROM isn't allowed as an ONBUILD trigger"),
        ("ONBUILD ONBUILD RUN x", "Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed"),
        ("RUN --mount=type=cache x", "mount target is required for mount type cache"),
        ("RUN --network=x y", "unsupported network mode \"x\""),
        ("HEALTHCHECK x", "Unknown type \"X\" in HEALTHCHECK (try CMD)"),
        ("HEALTHCHECK --interval=1 CMD x", "invalid value for --interval: \"1\" is no duration"),
        ("FROM a b", "FROM requires either one or three arguments"),
        ("FROM a AS 1b", "invalid name for build stage: \"1b\", name can't start with a number or contain symbols"),
        ("COPY --link --link a b", "duplicate flag specified: --link"),
    ] {
        assert_eq!(refused(text), expected, "{text}");
    }
    assert_eq!(read("").unwrap_err().message, "file with no instructions");
    assert_eq!(read("ARG a").unwrap_err().message, "no build stage in current context");
    assert!(read("RUN x\nFROM a").unwrap_err().message.contains("no build stage in current context"));
    assert_eq!(read("FROM a\nFORM b").unwrap_err().hint.as_deref(), Some("did you mean FROM?"));
}

#[test]
fn a_failure_shows_its_lines() {
    let source = Source::new("Dockerfile", "FROM a\nENV x=y\nRUM true\nUSER z\n");
    let failure = parse(&source).unwrap_err();
    let expected = "Dockerfile:3\n--------------------\n   1 |     FROM a\n   2 |     ENV x=y\n   3 | >>> RUM true\n   4 |     USER z\n--------------------";
    assert_eq!(failure.excerpt(&source), expected);
    assert_eq!(failure.into_error().to_string(), "dockerfile parse error on line 3: unknown instruction: RUM");
}

#[test]
fn stages_are_found_by_name_and_number() {
    let file = read("ARG V=1\nFROM a:$V AS One\nFROM --platform=$BUILDPLATFORM one\n").unwrap();
    assert_eq!(
        (file.stage("one"), file.stage("ONE"), file.stage("1"), file.stage("2")),
        (Some(0), Some(0), Some(1), None)
    );
    assert_eq!(file.stages[1].platform.as_deref(), Some("$BUILDPLATFORM"));
}

fn rules(text: &str) -> Vec<&'static str> {
    let source = Source::new("Dockerfile", text);
    let file = parse(&source).unwrap();
    let known = lint::Known { ignore: crate::ignore::Ignore::parse("*.log").unwrap(), ..lint::Known::default() };
    lint::check(&file, &known).into_iter().map(|warning| warning.rule).collect()
}

#[test]
fn lint_rules_find_what_they_are_named_after() {
    for (text, rule) in [
        ("FROM scratch AS Base", "StageNameCasing"),
        ("FROM scratch as base", "FromAsCasing"),
        ("FROM scratch\nRUN a \\\n\n b", "NoEmptyContinuation"),
        ("FROM scratch\nUSER b\ncopy a b", "ConsistentInstructionCasing"),
        ("FROM scratch AS a\nFROM scratch AS a", "DuplicateStageName"),
        ("FROM scratch\nCMD x", "JSONArgsRecommended"),
        ("FROM scratch\nMAINTAINER me", "MaintainerDeprecated"),
        ("FROM a:${V}x", "UndefinedArgInFrom"),
        ("FROM scratch\nWORKDIR a", "WorkdirRelativePath"),
        ("FROM scratch\nUSER $me", "UndefinedVar"),
        ("FROM scratch\nCMD [\"a\"]\nCMD [\"b\"]", "MultipleInstructionsDisallowed"),
        ("FROM scratch\nENV a b", "LegacyKeyValueFormat"),
        ("FROM --platform=$TARGETPLATFORM scratch", "RedundantTargetPlatform"),
        ("FROM scratch\nENV MY_PASSWORD=x", "SecretsUsedInArgOrEnv"),
        ("ARG T\nFROM busybox:$T", "InvalidDefaultArgInFrom"),
        ("FROM --platform=linux/amd64 scratch", "FromPlatformFlagConstDisallowed"),
        ("FROM scratch\nCOPY a.log /", "CopyIgnoredFile"),
        ("# check=experimental=all\n\n# other words\nFROM scratch AS it", "InvalidDefinitionDescription"),
        ("FROM scratch\nEXPOSE 80/TCP", "ExposeProtoCasing"),
        ("FROM scratch\nEXPOSE 127.0.0.1:80:80", "ExposeInvalidFormat"),
    ] {
        assert_eq!(rules(text), [rule], "{text}");
        let skipped = format!("# check=skip={rule}\n{}", text.trim_start_matches("# check=experimental=all"));
        assert_eq!(rules(&skipped), Vec::<&str>::new(), "{text}");
    }
    assert_eq!(
        rules("ARG V=1\nFROM busybox:$V AS a\nARG X=1\nENV Y=$X\nWORKDIR /a\nWORKDIR b\nCMD [\"x\"]\nFROM a\nUSER $Y"),
        Vec::<&str>::new()
    );
}

proptest::proptest! {
    #[test]
    fn no_text_makes_it_panic(text in "((FROM|RUN|COPY|ENV|ONBUILD|HEALTHCHECK|LABEL|ARG|#)? ?[ -~\\n\\\\\"'$<=-]{0,20}\\n){0,6}") {
        fuzz(text.as_bytes());
    }

    #[test]
    fn what_is_written_is_read(names in proptest::collection::vec("[a-z][a-z0-9]{0,6}", 1..5), value in "[a-z0-9/.-]{1,12}") {
        let lines: Vec<String> = names.iter().map(|name| format!("ENV {name}={value}")).collect();
        let file = read(&format!("FROM x\n{}", lines.join("\n"))).unwrap();
        proptest::prop_assert_eq!(file.stages[0].instructions.len(), names.len());
        for (instruction, name) in file.stages[0].instructions.iter().zip(&names) {
            let expected = Kind::Env(vec![Pair { name: name.clone(), value: value.clone(), legacy: false }]);
            proptest::prop_assert_eq!(&instruction.kind, &expected);
        }
    }
}

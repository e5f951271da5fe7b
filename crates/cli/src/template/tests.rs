//! The expected results were compared with the stock docker command line.

use super::*;
use proptest::prelude::*;
use std::rc::Rc;

fn data() -> Value {
    let json = serde_json::json!({
        "ID": "3f2a00000000", "Image": "debian", "Names": "web", "Running": true, "Pid": 42, "Load": 0.5,
        "Labels": {"a": "b", "com.x": "v"}, "Env": ["A=1", "B=2"], "State": {"Health": null, "Status": "up"}, "Binds": null,
    });
    let Value::Map(map) = Value::from_json(&json) else { panic!("an object") };
    let mut map = map.as_ref().clone();
    map.insert(
        "Label".into(),
        Value::Method(Rc::new(|args| match args {
            [name] => Ok(format!("<{name}>").into()),
            _ => Err(format!("wrong number of args for %: want 1 got {}", args.len())),
        })),
    );
    Value::Map(Rc::new(map))
}

fn run(template: &str) -> String {
    match Template::parse(template).and_then(|t| t.execute(&data())) {
        Ok(text) => text,
        Err(error) => format!("ERR {error}"),
    }
}

#[test]
fn templates_give_what_go_gives() {
    for (template, expected) in [
        ("{{.ID}}", "3f2a00000000"),
        ("a {{.Names}} b", "a web b"),
        ("{{.ID | }}", "3f2a00000000"),
        ("{{$x := 1}}{{$x}}", "1"),
        ("{{split .Image \"e\"}}", "[d bian]"),
        ("{{json .Names | printf \"%s\"}}", "\"web\""),
        (
            "{{pad .ID 2 3}}|{{truncate .ID 3}}|{{title .Image}}|{{join (split .Image \"b\") \"/\"}}",
            "  3f2a00000000   |3f2|Debian|de/ian",
        ),
        ("{{println .ID 3 true}}", "3f2a00000000 3 true\n"),
        ("{{print 1 2 \"a\" \"b\" 3}}", "1 2a b3".replace("a b", "ab").as_str()),
        ("{{with $y := .ID}}{{$y}}{{else}}no{{end}}", "3f2a00000000"),
        ("{{range $i, $e := split .Image \"e\"}}{{$i}}={{$e}},{{end}}", "0=d,1=bian,"),
        (
            "{{printf \"%d %5.2f %x %t %c %05d %+v %T %%\" 3 2.5 255 true 65 7 .ID .ID}}",
            "3  2.50 ff true A 00007 3f2a00000000 string %",
        ),
        ("{{printf \"%d\" .ID}}", "%!d(string=3f2a00000000)"),
        ("{{printf \"%s\"}}", "%!s(MISSING)"),
        ("{{printf \"%s|%q|%-20s|\" .ID .Image .Names}}", "3f2a00000000|\"debian\"|web                 |"),
        ("{{if and .ID (ne .Image \"x\")}}yes{{else if .Names}}m{{end}}", "yes"),
        ("{{if eq .Image \"x\"}}1{{else if .Running}}2{{else}}3{{end}}", "2"),
        ("{{not .ID}} {{or \"\" \"b\"}} {{html \"<\"}} {{js \"'\"}} {{urlquery \"a b\"}}", "false b &lt; \\' a+b"),
        ("{{ .ID | len | printf \"%03d\" }}", "012"),
        ("{{.ID -}}   x {{- .ID}}", "3f2a00000000x3f2a00000000"),
        ("{{/* c */}}z", "z"),
        ("a {{- /* c */ -}} z", "az"),
        ("{{index (split .Image \"e\") 0}}", "d"),
        ("{{'a'}}", "97"),
        ("{{.Labels}} {{.Env}} {{.Binds}} {{.State.Health}} {{.Load}}", "map[a:b com.x:v] [A=1 B=2] [] <nil> 0.5"),
        ("{{index .Labels \"com.x\"}}{{index .Labels \"none\"}}", "v"),
        ("{{.Label \"a\"}}", "<a>"),
        ("{{range $k, $v := .Labels}}{{$k}}:{{$v}} {{end}}", "a:b com.x:v "),
        ("{{range .Env}}{{.}}{{break}}{{end}}{{range .Binds}}x{{else}}none{{end}}", "A=1none"),
        ("{{range .Env}}{{if eq . \"A=1\"}}{{continue}}{{end}}{{.}}{{end}}", "B=2"),
        ("{{with .State}}{{.Status}} {{$.ID}}{{end}}", "up 3f2a00000000"),
        ("{{(index .Env 0) | lower}} {{slice .ID 1 3}} {{len .Env}}", "a=1 f2 2"),
        ("{{$n := 0}}{{range .Env}}{{$n = len .}}{{end}}{{$n}}", "3"),
        ("{{json .Labels}} {{json .Binds}} {{json .Pid}}", "{\"a\":\"b\",\"com.x\":\"v\"} null 42"),
        ("{{lt 1 2}} {{ge .Pid 42}} {{eq .Image \"a\" \"debian\"}}", "true true true"),
    ] {
        assert_eq!(run(template), expected, "{template}");
    }
}

#[test]
fn errors_are_those_of_go() {
    for (template, expected) in [
        ("{{", ":1: unclosed action"),
        ("{{.ID", ":1: unclosed action"),
        ("{{\"a", ":1: unterminated quoted string"),
        ("{{end}}", ":1: unexpected {{end}}"),
        ("{{else}}", ":1: unexpected {{else}}"),
        ("{{if .ID}}", ":1: unexpected EOF"),
        ("{{if}}", ":1: missing value for if"),
        ("{{| .ID}}", ":1: unexpected \"|\" in command"),
        ("{{()}}", ":1: missing value for parenthesized pipeline"),
        ("{{(.ID}}", ":1: unclosed left paren"),
        ("{{$x}}", ":1: undefined variable \"$x\""),
        ("{{.ID | 3}}", ":1: non executable command in pipeline stage 2"),
        ("{{.ID | foo}}", ":1: function \"foo\" not defined"),
        ("{{break}}", ":1: {{break}} outside {{range}}"),
        ("{{1a}}", ":1: bad number syntax: \"1a\""),
        ("{{1 .ID}}", ":1:2: executing \"\" at <1>: can't give argument to non-function 1"),
        ("{{index .ID 99}}", ":1:2: executing \"\" at <index .ID 99>: error calling index: index out of range: 99"),
        ("{{len 3}}", ":1:2: executing \"\" at <len 3>: error calling len: len of type int"),
        ("{{eq .ID}}", ":1:2: executing \"\" at <eq .ID>: error calling eq: missing argument for comparison"),
        ("{{lt 1 \"a\"}}", ":1:2: executing \"\" at <lt 1 \"a\">: error calling lt: incompatible types for comparison"),
        ("{{nil}}", ":1:2: executing \"\" at <nil>: nil is not a command"),
        ("{{.ID.Foo}}", ":1:5: executing \"\" at <.ID.Foo>: can't evaluate field Foo in type string"),
        ("{{upper 3}}", ":1:8: executing \"\" at <3>: expected string; found 3"),
        ("{{upper}}", ":1:2: executing \"\" at <upper>: wrong number of args for upper: want 1 got 0"),
        ("x\ny{{.Foo}}", ":2:3: executing \"\" at <.Foo>: map has no entry for key \"Foo\""),
        ("{{.Label}}", ":1:2: executing \"\" at <.Label>: wrong number of args for Label: want 1 got 0"),
        ("{{.ID \"x\"}}", ":1:2: executing \"\" at <.ID>: wrong number of args for ID: want 0 got 1"),
        ("{{len .ID .ID}}", ":1:2: executing \"\" at <len>: wrong number of args for len: want 1 got 2"),
    ] {
        assert_eq!(run(template), format!("ERR template: {expected}"), "{template}");
    }
}

#[test]
fn what_a_template_uses_is_known() {
    assert!(Template::parse("{{if .Size}}x{{end}}").unwrap().mentions("Size"));
    assert!(Template::parse("{{json .}}").unwrap().mentions("Size"));
    assert!(!Template::parse("{{.ID}} Size").unwrap().mentions("Size"));
}

proptest! {
    #[test]
    fn any_text_is_answered(text in "\\PC{0,60}") {
        run(&text);
    }

    #[test]
    fn any_soup_of_template_words_is_answered(words in proptest::collection::vec(prop_oneof![
        Just("{{"), Just("}}"), Just("{{-"), Just(" -}}"), Just("if "), Just("range "), Just("else "), Just("end"), Just("."),
        Just(".Env "), Just("$x"), Just(":= "), Just(", "), Just("("), Just(")"), Just("| "), Just("\"s\" "), Just("1 "),
        Just("printf "), Just("index "), Just("slice "), Just("json "), Just("/*"), Just("*/"), Just("-"), Just("é"), Just("`"),
    ], 0..25)) {
        run(&words.concat());
    }
}

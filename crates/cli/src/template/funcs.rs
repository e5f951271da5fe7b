//! The functions that templates may call: Go's own and Docker's additions.

use std::cmp::Ordering;
use std::rc::Rc;

use super::printf::sprintf;
use super::value::Value;

/// Why a call failed.
pub enum CallError {
    /// Too few or too many arguments.
    Count(String),
    /// The argument of this number cannot be used.
    Argument(usize, String),
    /// The function itself failed.
    Failed(String),
}

type Called = Result<Value, CallError>;

/// Whether there is a function of this name.
pub fn exists(name: &str) -> bool {
    matches!(
        name,
        "and"
            | "or"
            | "not"
            | "len"
            | "index"
            | "slice"
            | "print"
            | "printf"
            | "println"
            | "html"
            | "js"
            | "urlquery"
            | "eq"
            | "ne"
            | "lt"
            | "le"
            | "gt"
            | "ge"
            | "json"
            | "split"
            | "join"
            | "title"
            | "lower"
            | "upper"
            | "pad"
            | "truncate"
    )
}

/// Calls the function; `and` and `or` are not here because they do not evaluate all their arguments.
pub fn call(name: &str, args: &[Value]) -> Called {
    match name {
        "not" => one(name, args).map(|v| (!v.is_true()).into()),
        "len" => length(one(name, args)?),
        "index" => index(args),
        "slice" => slice(args),
        "print" => Ok(print(args).into()),
        "println" => Ok(println(args).into()),
        "printf" => printf(args),
        "html" => Ok(html(&print(args)).into()),
        "js" => Ok(js(&print(args)).into()),
        "urlquery" => Ok(urlquery(&print(args)).into()),
        "eq" => equal(args),
        "ne" => two(name, args).and_then(|(a, b)| Ok((!same(a, b)?).into())),
        "lt" => two(name, args).and_then(|(a, b)| Ok((order(a, b)? == Ordering::Less).into())),
        "le" => two(name, args).and_then(|(a, b)| Ok((order(a, b)? != Ordering::Greater).into())),
        "gt" => two(name, args).and_then(|(a, b)| Ok((order(a, b)? == Ordering::Greater).into())),
        "ge" => two(name, args).and_then(|(a, b)| Ok((order(a, b)? != Ordering::Less).into())),
        "json" => one(name, args).map(|v| json(v).into()),
        "split" => split(args),
        "join" => join(args),
        "title" => text(name, args, 0, 1).map(|t| title(t).into()),
        "lower" => text(name, args, 0, 1).map(|t| t.to_lowercase().into()),
        "upper" => text(name, args, 0, 1).map(|t| t.to_uppercase().into()),
        "pad" => pad(args),
        "truncate" => truncate(args),
        _ => Err(CallError::Failed(format!("{name} is no function"))),
    }
}

fn count(name: &str, args: &[Value], want: usize) -> Result<(), CallError> {
    if args.len() == want {
        return Ok(());
    }
    Err(CallError::Count(format!("wrong number of args for {name}: want {want} got {}", args.len())))
}

fn one<'a>(name: &str, args: &'a [Value]) -> Result<&'a Value, CallError> {
    count(name, args, 1).map(|()| &args[0])
}

fn two<'a>(name: &str, args: &'a [Value]) -> Result<(&'a Value, &'a Value), CallError> {
    count(name, args, 2).map(|()| (&args[0], &args[1]))
}

fn text<'a>(name: &str, args: &'a [Value], i: usize, want: usize) -> Result<&'a str, CallError> {
    count(name, args, want)?;
    match &args[i] {
        Value::Str(text) => Ok(text),
        other => Err(CallError::Argument(i, format!("expected string; found {other}"))),
    }
}

fn number(name: &str, args: &[Value], i: usize, want: usize) -> Result<usize, CallError> {
    count(name, args, want)?;
    match &args[i] {
        Value::Int(n) => Ok(usize::try_from(*n).unwrap_or(0)),
        other => Err(CallError::Argument(i, format!("expected integer; found {other}"))),
    }
}

fn length(value: &Value) -> Called {
    let length = match value {
        Value::Str(text) => text.len(),
        Value::List(items) => items.len(),
        Value::Map(fields) => fields.len(),
        Value::Nil(shown) if *shown != "<nil>" => 0,
        Value::Nil(_) => return Err(CallError::Failed("len of nil pointer".into())),
        other => return Err(CallError::Failed(format!("len of type {}", other.type_name()))),
    };
    Ok(Value::Int(i64::try_from(length).unwrap_or(i64::MAX)))
}

fn index(args: &[Value]) -> Called {
    let Some((first, keys)) = args.split_first() else {
        return Err(CallError::Count("wrong number of args for index: want at least 1 got 0".into()));
    };
    keys.iter().try_fold(first.clone(), |value, key| index_one(&value, key).map_err(CallError::Failed))
}

fn index_one(value: &Value, key: &Value) -> Result<Value, String> {
    match (value, key) {
        (Value::Map(fields), Value::Str(key)) => {
            // A missing key is the zero value of the map's type, which for text is nothing at all.
            let texts = !fields.is_empty() && fields.values().all(|v| matches!(v, Value::Str(_)));
            let zero = if texts { "".into() } else { Value::NONE };
            Ok(fields.get(key.as_ref()).cloned().unwrap_or(zero))
        }
        (Value::Map(_), other) => Err(format!("value has type {}; should be string", other.type_name())),
        (Value::List(items), Value::Int(i)) => usize::try_from(*i)
            .ok()
            .and_then(|i| items.get(i))
            .cloned()
            .ok_or_else(|| format!("index out of range: {i}")),
        (Value::Str(text), Value::Int(i)) => usize::try_from(*i)
            .ok()
            .and_then(|i| text.as_bytes().get(i))
            .map(|b| Value::Int(i64::from(*b)))
            .ok_or_else(|| format!("index out of range: {i}")),
        (Value::List(_) | Value::Str(_), other) => {
            Err(format!("cannot index slice/array with type {}", other.type_name()))
        }
        (Value::Nil("[]"), Value::Int(i)) => Err(format!("index out of range: {i}")),
        (Value::Nil("map[]"), _) => Ok(Value::NONE),
        (Value::Nil(_), _) => Err("index of untyped nil".into()),
        (other, _) => Err(format!("can't index item of type {}", other.type_name())),
    }
}

fn slice(args: &[Value]) -> Called {
    let Some((value, bounds)) = args.split_first() else {
        return Err(CallError::Count("wrong number of args for slice: want at least 1 got 0".into()));
    };
    let length = match value {
        Value::Str(text) => text.len(),
        Value::List(items) => items.len(),
        other => return Err(CallError::Failed(format!("can't slice item of type {}", other.type_name()))),
    };
    let bound = |i: usize, default: usize| match bounds.get(i) {
        None => Ok(default),
        Some(Value::Int(n)) => match usize::try_from(*n) {
            Ok(n) if n <= length => Ok(n),
            _ => Err(CallError::Failed(format!("index out of range: {n}"))),
        },
        Some(other) => Err(CallError::Failed(format!("cannot index slice/array with type {}", other.type_name()))),
    };
    let (from, to) = (bound(0, 0)?, bound(1, length)?);
    if from > to {
        return Err(CallError::Failed(format!("invalid slice index: {from} > {to}")));
    }
    Ok(match value {
        Value::Str(text) => String::from_utf8_lossy(&text.as_bytes()[from..to]).into_owned().into(),
        Value::List(items) => Value::List(Rc::new(items[from..to].to_vec())),
        _ => Value::NONE,
    })
}

/// Spaces go between operands when neither is a string, as Go's `Sprint` does.
fn print(args: &[Value]) -> String {
    let mut out = String::new();
    for (i, arg) in args.iter().enumerate() {
        let is_text = |v: &Value| matches!(v, Value::Str(_));
        if i > 0 && !is_text(arg) && !is_text(&args[i - 1]) {
            out.push(' ');
        }
        arg.print(&mut out);
    }
    out
}

fn println(args: &[Value]) -> String {
    let mut out = args.iter().map(Value::to_string).collect::<Vec<_>>().join(" ");
    out.push('\n');
    out
}

fn printf(args: &[Value]) -> Called {
    match args.split_first() {
        Some((Value::Str(format), rest)) => Ok(sprintf(format, rest).into()),
        Some((other, _)) => Err(CallError::Argument(0, format!("expected string; found {other}"))),
        None => Err(CallError::Count("wrong number of args for printf: want at least 1 got 0".into())),
    }
}

/// Go escapes what HTML gives a meaning when a row marshals itself, and Docker switches that off for documents.
fn json(value: &Value) -> String {
    let text = value.to_json().to_string();
    match value {
        Value::Map(fields) if fields.contains_key(super::ROW_KIND) => {
            text.replace('<', "\\u003c").replace('>', "\\u003e").replace('&', "\\u0026")
        }
        _ => text,
    }
}

fn html(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            '"' => out.push_str("&#34;"),
            '\'' => out.push_str("&#39;"),
            '\0' => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}

fn js(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\\' | '\'' | '"' => out.extend(['\\', c]),
            '<' | '>' | '&' | '=' => out.push_str(&format!("\\u{:04X}", u32::from(c))),
            c if u32::from(c) < 0x20 => out.push_str(&format!("\\u{:04X}", u32::from(c))),
            c => out.push(c),
        }
    }
    out
}

fn urlquery(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for b in text.bytes() {
        match b {
            b' ' => out.push('+'),
            b if b.is_ascii_alphanumeric() || b"-_.~".contains(&b) => out.push(char::from(b)),
            b => out.push_str(&format!("%{b:02X}")),
        }
    }
    out
}

fn equal(args: &[Value]) -> Called {
    let Some((first, rest)) = args.split_first() else {
        return Err(CallError::Count("wrong number of args for eq: want at least 1 got 0".into()));
    };
    if rest.is_empty() {
        return Err(CallError::Failed("missing argument for comparison".into()));
    }
    for other in rest {
        if same(first, other)? {
            return Ok(true.into());
        }
    }
    Ok(false.into())
}

fn same(a: &Value, b: &Value) -> Result<bool, CallError> {
    match (a, b) {
        (Value::Bool(a), Value::Bool(b)) => Ok(a == b),
        (Value::Int(a), Value::Int(b)) => Ok(a == b),
        (Value::Float(a), Value::Float(b)) => Ok(a == b),
        (Value::Str(a), Value::Str(b)) => Ok(a == b),
        (Value::Nil(_), Value::Nil(_)) => Ok(true),
        (Value::Nil(_), _) | (_, Value::Nil(_)) => Ok(false),
        (Value::List(_) | Value::Map(_), _) | (_, Value::List(_) | Value::Map(_)) => {
            Err(CallError::Failed("non-comparable type".into()))
        }
        _ => Err(CallError::Failed("incompatible types for comparison".into())),
    }
}

fn order(a: &Value, b: &Value) -> Result<Ordering, CallError> {
    match (a, b) {
        (Value::Int(a), Value::Int(b)) => Ok(a.cmp(b)),
        (Value::Float(a), Value::Float(b)) => Ok(a.total_cmp(b)),
        (Value::Str(a), Value::Str(b)) => Ok(a.cmp(b)),
        (Value::Int(_) | Value::Float(_) | Value::Str(_), Value::Int(_) | Value::Float(_) | Value::Str(_)) => {
            Err(CallError::Failed("incompatible types for comparison".into()))
        }
        _ => Err(CallError::Failed("invalid type for comparison".into())),
    }
}

fn split(args: &[Value]) -> Called {
    let (subject, separator) = (text("split", args, 0, 2)?, text("split", args, 1, 2)?);
    let parts: Vec<Value> = match separator {
        "" => subject.chars().map(|c| c.to_string().into()).collect(),
        separator => subject.split(separator).map(Value::from).collect(),
    };
    Ok(Value::List(Rc::new(parts)))
}

fn join(args: &[Value]) -> Called {
    let separator = text("join", args, 1, 2)?;
    match &args[0] {
        Value::List(items) => Ok(items.iter().map(Value::to_string).collect::<Vec<_>>().join(separator).into()),
        Value::Nil(_) => Ok("".into()),
        other => Err(CallError::Argument(0, format!("expected []string; found {other}"))),
    }
}

/// The first letter of each word in upper case.
fn title(text: &str) -> String {
    let mut in_word = false;
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        let letter = c.is_alphanumeric() || c == '_' || c == '\'';
        if letter && !in_word {
            out.extend(c.to_uppercase());
        } else {
            out.push(c);
        }
        in_word = letter;
    }
    out
}

/// Spaces before and after, unless the text is empty.
fn pad(args: &[Value]) -> Called {
    let (subject, before, after) = (text("pad", args, 0, 3)?, number("pad", args, 1, 3)?, number("pad", args, 2, 3)?);
    if subject.is_empty() {
        return Ok("".into());
    }
    let spaces = |n: usize| " ".repeat(n.min(10_000));
    Ok(format!("{}{subject}{}", spaces(before), spaces(after)).into())
}

fn truncate(args: &[Value]) -> Called {
    let (subject, length) = (text("truncate", args, 0, 2)?, number("truncate", args, 1, 2)?);
    Ok(String::from_utf8_lossy(&subject.as_bytes()[..length.min(subject.len())]).into_owned().into())
}

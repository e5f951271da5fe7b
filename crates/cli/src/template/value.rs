//! What a template works on.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::rc::Rc;

/// The fields of a row or document, in the order in which Go prints maps: sorted by key.
pub type Map = BTreeMap<String, Value>;

/// A method that a template may call with arguments, as `{{.Label "x"}}`.
pub type Method = Rc<dyn Fn(&[Value]) -> Result<Value, String>>;

/// A value in a template.
#[derive(Clone)]
pub enum Value {
    /// Nothing; the text is what Go prints for it (`<no value>`, `<nil>`, `[]` or `map[]`, by its type in Go).
    Nil(&'static str),
    /// A truth value.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// Any other number.
    Float(f64),
    /// Text.
    Str(Rc<str>),
    /// A list.
    List(Rc<Vec<Value>>),
    /// A document.
    Map(Rc<Map>),
    /// A method of a row.
    Method(Method),
}

impl Value {
    /// Nothing, of no known type.
    pub const NONE: Value = Value::Nil("<no value>");

    /// Converts a JSON document; nulls print as Go prints the zero value of the field they stand in.
    pub fn from_json(json: &serde_json::Value) -> Self {
        Self::from_json_field("", json)
    }

    fn from_json_field(name: &str, json: &serde_json::Value) -> Self {
        match json {
            serde_json::Value::Null => Value::Nil(printed_null(name)),
            serde_json::Value::Bool(b) => Value::Bool(*b),
            serde_json::Value::Number(n) => match n.as_i64() {
                Some(i) => Value::Int(i),
                None => Value::Float(n.as_f64().unwrap_or(f64::NAN)),
            },
            serde_json::Value::String(s) => Value::from(s.as_str()),
            serde_json::Value::Array(items) => Value::List(Rc::new(items.iter().map(Self::from_json).collect())),
            serde_json::Value::Object(fields) => {
                let fields = fields.iter().map(|(k, v)| (k.clone(), Self::from_json_field(k, v)));
                Value::Map(Rc::new(fields.collect()))
            }
        }
    }

    /// As JSON; methods are left out.
    pub fn to_json(&self) -> serde_json::Value {
        match self {
            Value::Nil(_) | Value::Method(_) => serde_json::Value::Null,
            Value::Bool(b) => (*b).into(),
            Value::Int(i) => (*i).into(),
            Value::Float(f) => (*f).into(),
            Value::Str(s) => s.as_ref().into(),
            Value::List(items) => items.iter().map(Self::to_json).collect(),
            Value::Map(fields) => {
                let fields = fields.iter().filter(|(_, v)| !matches!(v, Value::Method(_)));
                serde_json::Value::Object(fields.map(|(k, v)| (k.clone(), v.to_json())).collect())
            }
        }
    }

    /// Go's idea of truth: not false, zero, empty or nothing.
    pub fn is_true(&self) -> bool {
        match self {
            Value::Nil(_) => false,
            Value::Bool(b) => *b,
            Value::Int(i) => *i != 0,
            Value::Float(f) => *f != 0.0,
            Value::Str(s) => !s.is_empty(),
            Value::List(items) => !items.is_empty(),
            Value::Map(fields) => !fields.is_empty(),
            Value::Method(_) => true,
        }
    }

    /// The name of its type, for error messages.
    pub fn type_name(&self) -> &'static str {
        match self {
            Value::Nil(_) => "nil",
            Value::Bool(_) => "bool",
            Value::Int(_) => "int",
            Value::Float(_) => "float64",
            Value::Str(_) => "string",
            Value::List(_) => "[]interface {}",
            Value::Map(_) => "map[string]interface {}",
            Value::Method(_) => "func",
        }
    }

    /// Appends the value as `fmt.Print` writes it.
    pub fn print(&self, out: &mut String) {
        match self {
            Value::Nil(printed) => out.push_str(printed),
            Value::Bool(b) => out.push_str(if *b { "true" } else { "false" }),
            Value::Int(i) => _ = write!(out, "{i}"),
            Value::Float(f) => out.push_str(&print_float(*f)),
            Value::Str(s) => out.push_str(s),
            Value::List(items) => {
                out.push('[');
                for (i, item) in items.iter().enumerate() {
                    out.push_str(if i > 0 { " " } else { "" });
                    item.print(out);
                }
                out.push(']');
            }
            Value::Map(fields) => {
                out.push_str("map[");
                for (i, (key, value)) in fields.iter().enumerate() {
                    _ = write!(out, "{}{key}:", if i > 0 { " " } else { "" });
                    value.print(out);
                }
                out.push(']');
            }
            Value::Method(_) => out.push_str("func"),
        }
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Value::Str(text.into())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Value::Str(text.into())
    }
}

impl From<bool> for Value {
    fn from(b: bool) -> Self {
        Value::Bool(b)
    }
}

impl From<i64> for Value {
    fn from(i: i64) -> Self {
        Value::Int(i)
    }
}

impl std::fmt::Display for Value {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut text = String::new();
        self.print(&mut text);
        f.write_str(&text)
    }
}

/// Go's `%v` of a float: the shortest digits, with an exponent below 1e-4 and from 1e21 on.
fn print_float(f: f64) -> String {
    let magnitude = f.abs();
    if f.is_nan() {
        "NaN".into()
    } else if f.is_infinite() {
        if f > 0.0 { "+Inf".into() } else { "-Inf".into() }
    } else if f != 0.0 && !(1e-4..1e21).contains(&magnitude) {
        let text = format!("{f:e}");
        let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
        let exponent: i32 = exponent.parse().unwrap_or(0);
        format!("{mantissa}e{}{:02}", if exponent < 0 { '-' } else { '+' }, exponent.abs())
    } else {
        f.to_string()
    }
}

/// How Go prints the null of a field of Docker's documents: most are lists, some are maps or pointers.
fn printed_null(field: &str) -> &'static str {
    match field {
        "Labels" | "Options" | "DriverOpts" | "PortBindings" | "Ports" | "Volumes" | "ExposedPorts" | "Sysctls"
        | "Tmpfs" | "StorageOpt" | "Annotations" | "Config" | "Networks" | "Containers" | "Status" | "GraphDriver"
        | "Data" => "map[]",
        "Health" | "Healthcheck" | "PidsLimit" | "OomKillDisable" | "MemorySwappiness" | "Init" | "IPAMConfig"
        | "UsageData" | "StopTimeout" | "SizeRw" | "SizeRootFs" | "ContainerConfig" => "<nil>",
        "" => "<no value>",
        _ => "[]",
    }
}

//! Go's `printf` verbs for the values that templates know.

use super::value::Value;

/// A directive's flags, width and precision.
#[derive(Default)]
struct Directive {
    minus: bool,
    plus: bool,
    sharp: bool,
    space: bool,
    zero: bool,
    width: Option<usize>,
    precision: Option<usize>,
}

/// Wider than this nobody asks in earnest.
const MAX_WIDTH: usize = 10_000;

/// Formats as Go's `fmt.Sprintf`.
pub fn sprintf(format: &str, args: &[Value]) -> String {
    let mut out = String::new();
    let mut args = args.iter();
    let mut chars = format.chars().peekable();
    while let Some(c) = chars.next() {
        if c != '%' {
            out.push(c);
            continue;
        }
        let directive = directive(&mut chars, &mut args);
        match chars.next() {
            None => out.push_str("%!(NOVERB)"),
            Some('%') => out.push('%'),
            Some(verb) => match args.next() {
                None => out.push_str(&format!("%!{verb}(MISSING)")),
                Some(value) => out.push_str(&directive.pad(&directive.format(verb, value), value)),
            },
        }
    }
    let extra: Vec<String> = args.map(|v| format!("{}={v}", v.type_name())).collect();
    if !extra.is_empty() {
        out.push_str(&format!("%!(EXTRA {})", extra.join(", ")));
    }
    out
}

fn directive<'a>(
    chars: &mut std::iter::Peekable<std::str::Chars<'_>>,
    args: &mut impl Iterator<Item = &'a Value>,
) -> Directive {
    let mut d = Directive::default();
    while let Some(flag) = chars.next_if(|c| matches!(c, '-' | '+' | '#' | ' ' | '0')) {
        match flag {
            '-' => d.minus = true,
            '+' => d.plus = true,
            '#' => d.sharp = true,
            ' ' => d.space = true,
            _ => d.zero = true,
        }
    }
    d.width = number(chars, args);
    if chars.next_if_eq(&'.').is_some() {
        d.precision = Some(number(chars, args).unwrap_or(0));
    }
    d
}

fn number<'a>(
    chars: &mut std::iter::Peekable<std::str::Chars<'_>>,
    args: &mut impl Iterator<Item = &'a Value>,
) -> Option<usize> {
    if chars.next_if_eq(&'*').is_some() {
        return match args.next() {
            Some(Value::Int(n)) => usize::try_from(*n).ok().map(|n| n.min(MAX_WIDTH)),
            _ => None,
        };
    }
    let mut value = None;
    while let Some(digit) = chars.next_if(char::is_ascii_digit) {
        let digit = digit as usize - '0' as usize;
        value = Some((value.unwrap_or(0_usize) * 10 + digit).min(MAX_WIDTH));
    }
    value
}

impl Directive {
    fn format(&self, verb: char, value: &Value) -> String {
        match (verb, value) {
            ('v', Value::Float(f)) if self.precision.is_some() => self.signed(format!("{:.*}", self.places(), f)),
            ('v', Value::Str(text)) if self.sharp => quote(text),
            ('v', _) => self.signed_number(value.to_string(), value),
            ('T', _) => value.type_name().to_owned(),
            ('t', Value::Bool(b)) => b.to_string(),
            ('s', Value::Str(text)) => self.cut(text),
            ('s', Value::List(_)) => value.to_string(),
            ('q', Value::Str(text)) => quote(text),
            ('q', Value::Int(i)) => format!("'{}'", rune(*i)),
            ('x' | 'X', Value::Str(text)) => hex(text.as_bytes(), verb == 'X'),
            ('d', Value::Int(i)) => self.signed(i.to_string()),
            ('x', Value::Int(i)) => radix(*i, |n| format!("{n:x}"), if self.sharp { "0x" } else { "" }),
            ('X', Value::Int(i)) => radix(*i, |n| format!("{n:X}"), if self.sharp { "0X" } else { "" }),
            ('o', Value::Int(i)) => radix(*i, |n| format!("{n:o}"), if self.sharp { "0" } else { "" }),
            ('b', Value::Int(i)) => radix(*i, |n| format!("{n:b}"), ""),
            ('c', Value::Int(i)) => rune(*i).to_string(),
            ('U', Value::Int(i)) => format!("U+{i:04X}"),
            ('f' | 'F', Value::Float(f)) => self.signed(format!("{:.*}", self.places(), f)),
            ('g' | 'G', Value::Float(_)) => self.signed(value.to_string()),
            ('e', Value::Float(f)) => self.signed(exponent(*f, self.places())),
            (_, value) => format!("%!{verb}({}={value})", value.type_name()),
        }
    }

    fn places(&self) -> usize {
        self.precision.unwrap_or(6)
    }

    fn cut(&self, text: &str) -> String {
        self.precision.map_or_else(|| text.to_owned(), |n| text.chars().take(n).collect())
    }

    fn signed_number(&self, text: String, value: &Value) -> String {
        if matches!(value, Value::Int(_) | Value::Float(_)) { self.signed(text) } else { text }
    }

    fn signed(&self, text: String) -> String {
        match (text.starts_with('-'), self.plus, self.space) {
            (false, true, _) => format!("+{text}"),
            (false, false, true) => format!(" {text}"),
            _ => text,
        }
    }

    fn pad(&self, text: &str, value: &Value) -> String {
        let missing = self.width.unwrap_or(0).saturating_sub(text.chars().count());
        if missing == 0 {
            return text.to_owned();
        }
        if self.minus {
            return format!("{text}{}", " ".repeat(missing));
        }
        if self.zero && matches!(value, Value::Int(_) | Value::Float(_)) {
            let sign = usize::from(text.starts_with(['-', '+']));
            return format!("{}{}{}", &text[..sign], "0".repeat(missing), &text[sign..]);
        }
        format!("{}{text}", if self.zero { "0" } else { " " }.repeat(missing))
    }
}

fn rune(code: i64) -> char {
    u32::try_from(code).ok().and_then(char::from_u32).unwrap_or('\u{fffd}')
}

fn radix(value: i64, digits: impl Fn(u64) -> String, prefix: &str) -> String {
    format!("{}{prefix}{}", if value < 0 { "-" } else { "" }, digits(value.unsigned_abs()))
}

fn hex(bytes: &[u8], upper: bool) -> String {
    bytes.iter().map(|b| if upper { format!("{b:02X}") } else { format!("{b:02x}") }).collect()
}

fn exponent(f: f64, places: usize) -> String {
    let text = format!("{f:.places$e}");
    match text.split_once('e') {
        Some((mantissa, exponent)) => {
            let exponent: i32 = exponent.parse().unwrap_or(0);
            format!("{mantissa}e{}{:02}", if exponent < 0 { '-' } else { '+' }, exponent.abs())
        }
        None => text,
    }
}

/// A string in Go's double quotes.
pub fn quote(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            '\r' => out.push_str("\\r"),
            '\x07' => out.push_str("\\a"),
            '\x08' => out.push_str("\\b"),
            '\x0c' => out.push_str("\\f"),
            '\x0b' => out.push_str("\\v"),
            c if c.is_control() && u32::from(c) < 0x80 => out.push_str(&format!("\\x{:02x}", u32::from(c))),
            c if c.is_control() => out.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

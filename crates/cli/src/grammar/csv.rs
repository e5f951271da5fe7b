//! One line of comma-separated values, as `--mount`, `--network` and `--gpus` take.

/// Cuts a line at its commas; a field in double quotes may contain them.
pub fn fields(line: &str) -> Result<Vec<String>, String> {
    if line.is_empty() {
        return Err("EOF".into());
    }
    let mut fields = Vec::new();
    let mut rest = line;
    loop {
        let (field, after) = if rest.starts_with('"') { quoted(rest)? } else { plain(rest)? };
        fields.push(field);
        match after {
            Some(after) => rest = after,
            None => return Ok(fields),
        }
    }
}

/// A field and what stands after its comma.
type Field<'a> = (String, Option<&'a str>);

fn plain(text: &str) -> Result<Field<'_>, String> {
    let (field, after) = match text.split_once(',') {
        Some((field, after)) => (field, Some(after)),
        None => (text, None),
    };
    if field.contains('"') {
        return Err(format!(
            "parse error on line 1, column {}: bare \" in non-quoted field",
            field.find('"').unwrap_or(0) + 1
        ));
    }
    Ok((field.to_owned(), after))
}

fn quoted(text: &str) -> Result<Field<'_>, String> {
    let mut field = String::new();
    let mut rest = &text[1..];
    loop {
        let Some((part, after)) = rest.split_once('"') else {
            return Err("parse error on line 1: extraneous or missing \" in quoted-field".into());
        };
        field.push_str(part);
        if let Some(after) = after.strip_prefix('"') {
            field.push('"');
            rest = after;
        } else if let Some(after) = after.strip_prefix(',') {
            return Ok((field, Some(after)));
        } else if after.is_empty() {
            return Ok((field, None));
        } else {
            return Err("parse error on line 1: extraneous or missing \" in quoted-field".into());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_protect_commas() {
        for (line, expected) in [
            ("a", vec!["a"]),
            ("a,b", vec!["a", "b"]),
            ("a,", vec!["a", ""]),
            ("\"a,b\",c", vec!["a,b", "c"]),
            ("\"a\"\"b\"", vec!["a\"b"]),
        ] {
            assert_eq!(fields(line).unwrap(), expected, "{line}");
        }
        for line in ["", "a\"b", "\"a", "\"a\"b"] {
            assert!(fields(line).is_err(), "{line}");
        }
    }
}

//! `--ulimit NAME=SOFT[:HARD]`.

use wharf_api::container::Ulimit;

use super::number;

const NAMES: [&str; 15] = [
    "core",
    "cpu",
    "data",
    "fsize",
    "locks",
    "memlock",
    "msgqueue",
    "nice",
    "nofile",
    "nproc",
    "rss",
    "rtprio",
    "rttime",
    "sigpending",
    "stack",
];

/// Reads one `--ulimit`; -1 is no limit.
pub fn parse(text: &str) -> Result<Ulimit, String> {
    let (name, limits) = text.split_once('=').ok_or_else(|| format!("invalid ulimit argument: {text}"))?;
    if !NAMES.contains(&name) {
        return Err(format!("invalid ulimit type: {name}"));
    }
    let values = limits.split(':').collect::<Vec<_>>();
    let (soft, hard) = match values.as_slice() {
        [both] => (number::integer(both)?, number::integer(both)?),
        [soft, hard] => (number::integer(soft)?, number::integer(hard)?),
        _ => {
            let most = "can only have up to two, `soft[:hard]`";
            return Err(format!("too many limit value arguments - {limits}, {most}"));
        }
    };
    check_order(soft, hard)?;
    Ok(Ulimit { name: name.to_owned(), hard, soft })
}

fn check_order(soft: i64, hard: i64) -> Result<(), String> {
    let rule = "ulimit soft limit must be less than or equal to hard limit";
    match (soft, hard) {
        (_, -1) => Ok(()),
        (-1, hard) => Err(format!("{rule}: soft: -1 (unlimited), hard: {hard}")),
        (soft, hard) if soft > hard => Err(format!("{rule}: {soft} > {hard}")),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_read() {
        assert_eq!(parse("nofile=1024").unwrap(), Ulimit { name: "nofile".into(), hard: 1024, soft: 1024 });
        assert_eq!(parse("nproc=1:-1").unwrap(), Ulimit { name: "nproc".into(), hard: -1, soft: 1 });
        for (text, expected) in [
            ("x", "invalid ulimit argument: x"),
            ("foo=1", "invalid ulimit type: foo"),
            ("nofile=a", "strconv.ParseInt: parsing \"a\": invalid syntax"),
            ("nofile=2:1", "ulimit soft limit must be less than or equal to hard limit: 2 > 1"),
            (
                "nofile=-1:5",
                "ulimit soft limit must be less than or equal to hard limit: soft: -1 (unlimited), hard: 5",
            ),
            ("nofile=1:2:3", "too many limit value arguments - 1:2:3, can only have up to two, `soft[:hard]`"),
        ] {
            assert_eq!(parse(text), Err(expected.into()), "{text}");
        }
    }
}

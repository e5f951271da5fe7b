//! Syslog messages (RFC 3164, RFC 5424), in the forms that Docker's driver writes.

use super::{Message, level};
use crate::protocol::{SyslogPlan, SyslogStyle};

/// One message with its newline.
pub(super) fn encode(plan: &SyslogPlan, message: &Message<'_>) -> Vec<u8> {
    let SyslogPlan { facility, style, hostname, tag } = plan;
    let priority = u32::from(*facility) * 8 + u32::from(level(message.stream));
    let pid = rustix::process::getpid().as_raw_nonzero();
    let stamp = || message.time.strftime("%b %e %H:%M:%S").to_string();
    let head = match style {
        SyslogStyle::Local => format!("<{priority}>{} {tag}[{pid}]: ", stamp()),
        SyslogStyle::Rfc3164 => format!("<{priority}>{} {hostname} {tag}[{pid}]: ", stamp()),
        SyslogStyle::Rfc5424 { micro } => {
            let time = if *micro { format!("{:.6}", message.time) } else { format!("{:.0}", message.time) };
            format!("<{priority}>1 {time} {hostname} {tag} {pid} {tag} - ")
        }
    };
    let mut bytes = head.into_bytes();
    bytes.extend_from_slice(message.text);
    bytes.push(b'\n');
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::Stream;

    fn encoded(style: SyslogStyle, stream: Stream) -> String {
        let plan = SyslogPlan { facility: 3, style, hostname: "host".into(), tag: "web".into() };
        let time = "2026-01-02T03:04:05.678901234Z".parse().unwrap();
        let message = Message { stream, text: b"hello", time, piece: None };
        let pid = rustix::process::getpid().as_raw_nonzero().to_string();
        String::from_utf8(encode(&plan, &message)).unwrap().replace(&pid, "PID")
    }

    #[test]
    fn messages_have_the_forms_of_the_standards() {
        let local = encoded(SyslogStyle::Local, Stream::Stdout);
        assert_eq!(local, "<30>Jan  2 03:04:05 web[PID]: hello\n");
        assert_eq!(encoded(SyslogStyle::Rfc3164, Stream::Stderr), "<27>Jan  2 03:04:05 host web[PID]: hello\n");
        let micro = encoded(SyslogStyle::Rfc5424 { micro: true }, Stream::Stdout);
        assert_eq!(micro, "<30>1 2026-01-02T03:04:05.678901Z host web PID web - hello\n");
        let whole = encoded(SyslogStyle::Rfc5424 { micro: false }, Stream::Stdout);
        assert!(whole.starts_with("<30>1 2026-01-02T03:04:05Z "), "{whole}");
    }
}

//! How a list of ports is shown: `443-444/tcp, 0.0.0.0:8080->80/tcp`.

use wharf_api::container::PortSummary;

use super::port::address;

/// Runs of equal ports as ranges first, then each port that is published under another number.
pub fn show(ports: &[PortSummary]) -> String {
    let mut ports: Vec<&PortSummary> = ports.iter().collect();
    ports.sort_by_key(|p| (p.private_port, p.ip.clone(), p.public_port, p.protocol));
    let mut runs: Vec<Run> = Vec::new();
    let mut shown = Vec::new();
    let mut mappings = Vec::new();
    for port in ports {
        let protocol = port.protocol.as_str();
        let ip = port.ip.as_deref().filter(|ip| !ip.is_empty());
        if let (Some(ip), Some(public)) = (ip, port.public_port.filter(|public| *public != port.private_port)) {
            mappings.push(format!("{}->{}/{protocol}", address(ip, &public.to_string()), port.private_port));
            continue;
        }
        let key = (ip.unwrap_or_default().to_owned(), protocol);
        match runs.iter_mut().find(|run| run.key == key) {
            Some(run) if port.private_port == run.last.wrapping_add(1) => run.last = port.private_port,
            Some(run) => {
                shown.push(run.show());
                (run.first, run.last) = (port.private_port, port.private_port);
            }
            None => runs.push(Run { key, first: port.private_port, last: port.private_port }),
        }
    }
    shown.extend(runs.iter().map(Run::show));
    shown.extend(mappings);
    shown.join(", ")
}

struct Run {
    key: (String, &'static str),
    first: u16,
    last: u16,
}

impl Run {
    fn show(&self) -> String {
        let (ip, protocol) = (&self.key.0, self.key.1);
        let range =
            if self.first == self.last { self.first.to_string() } else { format!("{}-{}", self.first, self.last) };
        if ip.is_empty() {
            format!("{range}/{protocol}")
        } else {
            format!("{}->{range}/{protocol}", address(ip, &range))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wharf_api::port::Protocol;

    fn port(ip: &str, private: u16, public: u16, protocol: Protocol) -> PortSummary {
        let ip = (!ip.is_empty()).then(|| ip.to_owned());
        PortSummary { ip, private_port: private, public_port: (public > 0).then_some(public), protocol }
    }

    #[test]
    fn ports_are_shown_as_docker_shows_them() {
        let tcp = Protocol::Tcp;
        let ports = [
            port("0.0.0.0", 80, 8080, tcp),
            port("::", 80, 8080, tcp),
            port("", 443, 0, tcp),
            port("", 444, 0, tcp),
            port("127.0.0.1", 90, 90, tcp),
            port("127.0.0.1", 91, 91, tcp),
            port("", 53, 0, Protocol::Udp),
        ];
        let expected = "53/udp, 127.0.0.1:90-91->90-91/tcp, 443-444/tcp, 0.0.0.0:8080->80/tcp, [::]:8080->80/tcp";
        assert_eq!(show(&ports), expected);
    }
}

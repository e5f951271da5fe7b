//! Numbers for Prometheus (text exposition format 0.0.4).

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::registry::collect::Collected;

/// Upper ends of the histogram's buckets, in seconds.
const BUCKETS: [f64; 9] = [0.001, 0.005, 0.02, 0.1, 0.5, 2.0, 10.0, 60.0, 300.0];

/// Everything that is counted.
#[derive(Default)]
pub struct Metrics {
    requests: Mutex<BTreeMap<(String, &'static str, u16), u64>>,
    durations: Mutex<BTreeMap<&'static str, Histogram>>,
    /// Requests that are being answered.
    pub in_flight: AtomicI64,
    /// Bytes of bodies that were received.
    pub received: AtomicU64,
    /// Bytes of bodies that were sent.
    pub sent: AtomicU64,
    /// Answers of a cache from what it had.
    pub cache_hits: AtomicU64,
    /// Answers for which upstream was asked for content.
    pub cache_misses: AtomicU64,
    /// Failed requests to upstream.
    pub upstream_failures: AtomicU64,
    /// Bytes that came from upstream.
    pub upstream_bytes: AtomicU64,
    /// Failed attempts to show who one is.
    pub refused_logins: AtomicU64,
    collected: Mutex<Collected>,
}

#[derive(Default)]
struct Histogram {
    buckets: [u64; BUCKETS.len()],
    count: u64,
    sum: f64,
}

impl Metrics {
    /// Notes an answered request.
    pub fn answered(&self, method: &http::Method, route: &'static str, status: u16, took: Duration) {
        // Methods are the client's words; only known ones become labels.
        let known = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"].contains(&method.as_str());
        let method = if known { method.as_str() } else { "other" }.to_owned();
        let mut requests = self.requests.lock().unwrap_or_else(PoisonError::into_inner);
        *requests.entry((method, route, status)).or_default() += 1;
        drop(requests);
        let seconds = took.as_secs_f64();
        let mut durations = self.durations.lock().unwrap_or_else(PoisonError::into_inner);
        let histogram = durations.entry(route).or_default();
        histogram.count += 1;
        histogram.sum += seconds;
        for (count, _) in histogram.buckets.iter_mut().zip(BUCKETS).filter(|(_, end)| seconds <= *end) {
            *count += 1;
        }
    }

    /// Notes what the garbage collector has removed.
    pub fn collected(&self, step: Collected) {
        *self.collected.lock().unwrap_or_else(PoisonError::into_inner) += step;
    }

    /// The text that Prometheus reads.
    pub fn text(&self) -> String {
        let mut text = String::new();
        let mut family = |name: &str, kind: &str, help: &str, lines: Vec<(String, String)>| {
            // Writing to a string never fails.
            let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}");
            for (suffix, value) in lines {
                let _ = writeln!(text, "{name}{suffix} {value}");
            }
        };
        let requests = self.requests.lock().unwrap_or_else(PoisonError::into_inner);
        let lines = requests.iter().map(|((method, route, status), count)| {
            (format!("{{method=\"{method}\",route=\"{route}\",status=\"{status}\"}}"), count.to_string())
        });
        family("wharf_registry_requests_total", "counter", "Requests that were answered.", lines.collect());
        drop(requests);
        let durations = self.durations.lock().unwrap_or_else(PoisonError::into_inner);
        let lines = durations.iter().flat_map(|(route, histogram)| histogram.lines(route)).collect();
        family(
            "wharf_registry_request_duration_seconds",
            "histogram",
            "Time from a request's head to the head of its answer.",
            lines,
        );
        drop(durations);
        let collected = *self.collected.lock().unwrap_or_else(PoisonError::into_inner);
        let load = |value: &AtomicU64| value.load(Ordering::Relaxed);
        let in_flight = self.in_flight.load(Ordering::Relaxed).to_string();
        family(
            "wharf_registry_requests_in_flight",
            "gauge",
            "Requests whose answers are not sent yet.",
            vec![(String::new(), in_flight)],
        );
        for (name, help, value) in [
            ("received_bytes_total", "Bytes of request bodies.", load(&self.received)),
            ("sent_bytes_total", "Bytes of answers.", load(&self.sent)),
            ("cache_hits_total", "Answers from what the cache had.", load(&self.cache_hits)),
            ("cache_misses_total", "Content that was fetched from upstream.", load(&self.cache_misses)),
            ("upstream_bytes_total", "Bytes that came from upstream.", load(&self.upstream_bytes)),
            ("upstream_failures_total", "Requests to upstream that failed.", load(&self.upstream_failures)),
            ("refused_logins_total", "Credentials that were not accepted.", load(&self.refused_logins)),
            ("collected_blobs_total", "Blobs that the garbage collector removed.", collected.blobs),
            ("collected_bytes_total", "Bytes that the garbage collector freed.", collected.bytes),
            ("collected_manifests_total", "Manifests that the garbage collector removed.", collected.manifests),
            ("expired_uploads_total", "Uploads that were never finished.", collected.uploads),
        ] {
            let name = format!("wharf_registry_{name}");
            family(&name, "counter", help, vec![(String::new(), value.to_string())]);
        }
        text
    }
}

impl Histogram {
    fn lines(&self, route: &str) -> Vec<(String, String)> {
        let bucket = |end: &str, count: u64| (format!("_bucket{{route=\"{route}\",le=\"{end}\"}}"), count.to_string());
        let mut lines: Vec<_> =
            BUCKETS.iter().zip(self.buckets).map(|(end, count)| bucket(&end.to_string(), count)).collect();
        lines.push(bucket("+Inf", self.count));
        lines.push((format!("_sum{{route=\"{route}\"}}"), self.sum.to_string()));
        lines.push((format!("_count{{route=\"{route}\"}}"), self.count.to_string()));
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_family_is_described_and_buckets_add_up() {
        let metrics = Metrics::default();
        metrics.answered(&http::Method::GET, "blob", 200, Duration::from_millis(3));
        metrics.answered(&http::Method::GET, "blob", 200, Duration::from_secs(1));
        metrics.collected(Collected { blobs: 2, ..Collected::default() });
        let text = metrics.text();
        assert!(
            text.contains("wharf_registry_requests_total{method=\"GET\",route=\"blob\",status=\"200\"} 2"),
            "{text}"
        );
        assert!(text.contains("_bucket{route=\"blob\",le=\"0.005\"} 1\n"), "{text}");
        assert!(text.contains("_bucket{route=\"blob\",le=\"+Inf\"} 2\n"), "{text}");
        assert!(text.contains("wharf_registry_collected_blobs_total 2\n"), "{text}");
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            let (_, value) = line.rsplit_once(' ').unwrap();
            value.parse::<f64>().unwrap();
        }
    }
}

//! Metrics over HTTP, for Prometheus: every request gets all of them as they are now, in the text form
//! that it asks for.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::Full;
use hyper::body::Bytes;
use hyper::header::{ACCEPT, CONTENT_TYPE, HeaderValue};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use memchr::memmem;
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};

use crate::sys::socket::Listener;

use super::accept::ACCEPT_PAUSE;

/// OpenMetrics 1.0, which whoever wants it names.
const OPEN_METRICS: &str = "application/openmetrics-text";
const OPEN_METRICS_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
/// The text form that everybody reads.
const TEXT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";
/// Connections at a time: one scraper, and somebody who looks at what it sees.
const MAX_CONNECTIONS: usize = 8;
/// How long one may last.
const LIFETIME: Duration = Duration::from_secs(60);

/// Answers every request at `listener` with what `text` gives in OpenMetrics form, for as long as it is polled.
pub async fn expose(listener: Listener, text: impl Fn() -> String + Send + Sync + 'static) {
    let text = Arc::new(text);
    let permits = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    loop {
        let Ok(permit) = Arc::clone(&permits).acquire_owned().await else { return };
        let Ok((stream, _)) = listener.accept().await else {
            sleep(ACCEPT_PAUSE).await;
            continue;
        };
        let text = Arc::clone(&text);
        let answer = service_fn(move |request: Request<hyper::body::Incoming>| {
            let accepted = request.headers().get(ACCEPT).map(HeaderValue::as_bytes);
            let (text, kind) =
                match accepted.and_then(|types| memmem::find(types, OPEN_METRICS.as_bytes())) {
                    Some(_) => (text(), OPEN_METRICS_TYPE),
                    None => (plain(&text()), TEXT_TYPE),
                };
            async move {
                let mut response = Response::new(Full::new(Bytes::from(text)));
                let kind = HeaderValue::from_static(kind);
                response.headers_mut().insert(CONTENT_TYPE, kind);
                Ok::<_, Infallible>(response)
            }
        });
        tokio::spawn(async move {
            let mut server = hyper::server::conn::http1::Builder::new();
            let served =
                server.timer(TokioTimer::new()).serve_connection(TokioIo::new(stream), answer);
            // Whatever becomes of it: the scraper comes again.
            let _ = timeout(LIFETIME, served).await;
            drop(permit);
        });
    }
}

/// The Prometheus text form 0.0.4 of the same: a counter bears the name of its samples, and there are
/// neither units nor an end.
fn plain(open_metrics: &str) -> String {
    let lines: Vec<&str> = open_metrics.lines().collect();
    let is_counter = |name: &str| {
        let of_type = format!("# TYPE {name} counter");
        lines.iter().any(|line| *line == of_type)
    };
    let mut text = String::with_capacity(open_metrics.len());
    for line in &lines {
        let mut words = line.splitn(4, ' ');
        match (words.next(), words.next(), words.next(), words.next()) {
            (Some("#"), Some("UNIT" | "EOF"), ..) => {}
            (Some("#"), Some(what), Some(name), Some(rest)) if is_counter(name) => {
                text.push_str(&format!("# {what} {name}_total {rest}\n"));
            }
            _ => {
                text.push_str(line);
                text.push('\n');
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_what_only_open_metrics_has() {
        let open = "# HELP x_in_bytes Octets.\n# TYPE x_in_bytes counter\n# UNIT x_in_bytes bytes\n\
                    x_in_bytes_total 7\n# HELP x_free Free.\n# TYPE x_free gauge\nx_free 1\n# EOF\n";
        let wanted = "# HELP x_in_bytes_total Octets.\n# TYPE x_in_bytes_total counter\n\
                      x_in_bytes_total 7\n# HELP x_free Free.\n# TYPE x_free gauge\nx_free 1\n";
        assert_eq!(plain(open), wanted);
    }
}

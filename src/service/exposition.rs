//! Metrics over HTTP, for Prometheus: every request gets all of them as they are now.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::Full;
use hyper::body::Bytes;
use hyper::header::CONTENT_TYPE;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};

use crate::sys::socket::Listener;

use super::accept::ACCEPT_PAUSE;

/// The text form's media type (OpenMetrics 1.0).
const MEDIA_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
/// Connections at a time: one scraper, and somebody who looks at what it sees.
const MAX_CONNECTIONS: usize = 8;
/// How long one may last.
const LIFETIME: Duration = Duration::from_secs(60);

/// Answers every request at `listener` with what `text` gives, for as long as it is polled.
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
        let answer = service_fn(move |_: Request<hyper::body::Incoming>| {
            let body = Full::new(Bytes::from(text()));
            async move {
                let mut response = Response::new(body);
                let kind = hyper::header::HeaderValue::from_static(MEDIA_TYPE);
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

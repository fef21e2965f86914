//! One connection to the agent: its frames in turn, its limits, its timeouts, and its lease.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::{SemaphorePermit, watch};
use tokio::time::timeout;

use crate::secret::SecretBytes;
use crate::sys::socket::Stream;

use super::protocol::{
    self, LENGTH_BYTES, MAX_REQUEST_BYTES, MAX_SMALL_BYTES, ProtocolError, Reply, Request,
};
use super::requests::Asker;
use super::server::{Admission, Shared};

/// How long a connection without a lease may be silent.
const IDLE: Duration = Duration::from_secs(60);
/// How long a frame may take once it has begun, and a reply.
const FRAME: Duration = Duration::from_secs(30);

/// Answers what is asked until the peer hangs up, his lease ends, or the agent does.
pub(super) async fn serve(mut stream: Stream, uid: u32, admission: Admission) {
    let shared = &admission.shared;
    let mut asker = Asker { uid, lease: None };
    let mut stopping = shared.stopping.clone();
    loop {
        let mut lost = asker.lease.as_ref().map(|lease| lease.entry().ended());
        let served = tokio::select! {
            _ = stopping.wait_for(|stop| *stop) => return,
            () = end_of(lost.as_mut()) => return,
            served = one(&mut stream, shared, &mut asker) => served,
        };
        if served.is_err() {
            return;
        }
    }
}

/// Waits until the lease is lost; for ever where there is none.
async fn end_of(lost: Option<&mut watch::Receiver<bool>>) {
    match lost {
        Some(lost) => drop(lost.wait_for(|lost| *lost).await),
        None => std::future::pending().await,
    }
}

/// Reads one request and answers it.
async fn one(stream: &mut Stream, shared: &Shared, asker: &mut Asker) -> io::Result<()> {
    let mut head = [0; LENGTH_BYTES];
    let silence = if asker.lease.is_some() { Duration::MAX } else { IDLE };
    let (first, rest) = head.split_at_mut(1);
    within(silence, stream.read_exact(first)).await?;
    within(FRAME, stream.read_exact(rest)).await?;
    let length = match protocol::frame_length(head, MAX_REQUEST_BYTES) {
        Ok(length) => length,
        Err(problem) => return refuse(stream, problem).await,
    };
    let large = match room_for(length, shared, asker).await {
        Ok(large) => large,
        Err(problem) => return refuse(stream, problem).await,
    };
    let mut frame = SecretBytes::default();
    frame.try_reserve(length).map_err(|_| io::ErrorKind::OutOfMemory)?;
    within(FRAME, read_all(stream, &mut frame, length)).await?;
    let reply = match Request::parse(frame.expose()) {
        Ok(request) => {
            tokio::select! {
                reply = shared.agent.answer(asker, request) => reply,
                () = gone(stream) => return Err(io::ErrorKind::ConnectionAborted.into()),
            }
        }
        Err(problem) => return refuse(stream, problem).await,
    };
    drop(frame);
    write(stream, &reply).await?;
    drop(large);
    Ok(())
}

/// Leave for a request of this length. Large ones are batches, for who may have something to recover.
async fn room_for<'s>(
    length: usize,
    shared: &'s Shared,
    asker: &Asker,
) -> Result<Option<SemaphorePermit<'s>>, ProtocolError> {
    if length <= MAX_SMALL_BYTES {
        return Ok(None);
    }
    if !shared.agent.may_read_at_all(asker.uid) {
        return Err(ProtocolError::TooLong);
    }
    shared.large.acquire().await.map(Some).map_err(|_| ProtocolError::OutOfMemory)
}

async fn read_all(stream: &mut Stream, frame: &mut SecretBytes, length: usize) -> io::Result<()> {
    let mut piece = SecretBytes::from(vec![0; length.min(64 * 1024)]);
    while frame.len() < length {
        let wanted = piece.len().min(length - frame.len());
        let place = piece.expose_mut().get_mut(..wanted).unwrap_or_default();
        let read = stream.read(place).await?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let read = piece.expose().get(..read).unwrap_or_default();
        frame.try_push(read).map_err(|_| io::ErrorKind::OutOfMemory)?;
    }
    Ok(())
}

/// Says what is wrong with a frame, and gives up: where the next one begins is not known.
async fn refuse(stream: &mut Stream, problem: ProtocolError) -> io::Result<()> {
    write(stream, &Reply::Refused { reason: problem.to_string() }).await?;
    Err(io::ErrorKind::InvalidData.into())
}

async fn write(stream: &mut Stream, reply: &Reply) -> io::Result<()> {
    let frame = reply.to_frame().map_err(|problem| io::Error::other(problem.to_string()))?;
    within(FRAME, stream.write_all(frame.expose())).await
}

/// Waits until the peer hangs up. One who says something meanwhile is heard later.
async fn gone(stream: &Stream) {
    if !stream.is_hung_up().await {
        std::future::pending::<()>().await;
    }
}

async fn within<T>(time: Duration, work: impl Future<Output = io::Result<T>>) -> io::Result<()> {
    match timeout(time, work).await {
        Ok(done) => done.map(drop),
        Err(_) => Err(io::ErrorKind::TimedOut.into()),
    }
}

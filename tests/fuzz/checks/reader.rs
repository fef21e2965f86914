//! What must hold of lines, commands and data, whatever a client says and in whatever pieces it comes.

use std::convert::Infallible;

use nightsafe::delivery::lmtp::command::{self, Command, MAX_LINE_BYTES};
use nightsafe::delivery::lmtp::data::DataReader;
use nightsafe::line;

/// What was read.
#[derive(Debug, PartialEq, Eq)]
enum Event {
    Command(Result<Command, String>),
    /// A chunk, as much of it as came.
    Chunk(Vec<u8>),
    /// The data, and whether they came to their end.
    Data(Vec<u8>, bool),
    /// Nothing can be read from here on.
    Lost(String),
}

/// Fails when something does not hold of `said`.
pub fn check(said: &[u8]) {
    let whole = read(&[said]);
    let pieces = pieces(said);
    assert_eq!(read(&pieces), whole, "it depends on the pieces");
    let octets: Vec<&[u8]> = said.chunks(1).collect();
    assert_eq!(read(&octets), whole, "it depends on the pieces");
    for event in &whole {
        match event {
            Event::Command(Ok(command)) => one_line(command),
            Event::Command(Err(reply)) => {
                let is_reply = reply.starts_with('5') && reply.len() <= 510;
                assert!(is_reply && !reply.contains(['\r', '\n']), "{reply:?}");
            }
            _ => {}
        }
    }
    stuffed_and_back(said);
    as_by_the_letter(said);
}

/// As a connection reads: lines, and after DATA and BDAT what belongs to them.
fn read(pieces: &[&[u8]]) -> Vec<Event> {
    let mut events = Vec::new();
    let mut data: Option<(DataReader, Vec<u8>)> = None;
    let mut chunk: Option<(u64, Vec<u8>)> = None;
    let mut waiting = Vec::new();
    for piece in pieces {
        waiting.extend_from_slice(piece);
        loop {
            if let Some((reader, message)) = &mut data {
                let taken = reader.read(&waiting, |text| {
                    message.extend_from_slice(text);
                    Ok::<(), Infallible>(())
                });
                let taken = taken.unwrap();
                let (has_ended, all) = (reader.has_ended(), taken == waiting.len());
                assert!(taken <= waiting.len() && (has_ended || all), "octets are left");
                waiting.drain(..taken);
                if !has_ended {
                    break;
                }
                let (_, message) = data.take().unwrap();
                events.push(Event::Data(message, true));
            } else if let Some((left, text)) = &mut chunk {
                let taken = waiting.len().min(usize::try_from(*left).unwrap_or(usize::MAX));
                text.extend(waiting.drain(..taken));
                *left -= taken as u64;
                if *left > 0 {
                    break;
                }
                let (_, text) = chunk.take().unwrap();
                events.push(Event::Chunk(text));
            } else {
                match line::first(&waiting, MAX_LINE_BYTES) {
                    Ok(None) => {
                        assert!(waiting.len() < MAX_LINE_BYTES, "it waits without end");
                        break;
                    }
                    Err(error) => {
                        events.push(Event::Lost(error.to_string()));
                        return events;
                    }
                    Ok(Some((line, octets))) => {
                        assert!(!line.contains(&b'\r') && !line.contains(&b'\n'));
                        assert_eq!(waiting[line.len()..octets], *b"\r\n");
                        assert!(octets <= MAX_LINE_BYTES);
                        let command = command::parse(line);
                        waiting.drain(..octets);
                        match &command {
                            Ok(Command::Data) => data = Some(Default::default()),
                            Ok(Command::Bdat { octets, .. }) => chunk = Some((*octets, Vec::new())),
                            Err(reply) if reply.closes() => {
                                events.push(Event::Command(Err(reply.to_string())));
                                return events;
                            }
                            _ => {}
                        }
                        events.push(Event::Command(command.map_err(|reply| reply.to_string())));
                    }
                }
            }
        }
    }
    // What came of something unfinished.
    events.extend(data.map(|(_, message)| Event::Data(message, false)));
    events.extend(chunk.map(|(_, text)| Event::Chunk(text)));
    events
}

/// Nothing of a command can become a second line on its way to the store.
fn one_line(command: &Command) {
    let text = match command {
        Command::Mail { sender, .. } => sender,
        Command::Rcpt { address, .. } => address,
        _ => return,
    };
    assert!(!text.chars().any(char::is_control), "{text:?}");
}

/// Cuts at places that the text itself decides.
fn pieces(said: &[u8]) -> Vec<&[u8]> {
    let mut state = said.iter().fold(0xCBF2_9CE4_8422_2325_u64, |state, octet| {
        (state ^ u64::from(*octet)).wrapping_mul(0x0100_0000_01B3)
    });
    let mut pieces = Vec::new();
    let mut rest = said;
    while !rest.is_empty() {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let (piece, after) = rest.split_at(((state >> 40) as usize % 24 + 1).min(rest.len()));
        pieces.push(piece);
        rest = after;
    }
    pieces
}

/// What a strict writer stuffs comes back, and not an octet of what follows is touched.
fn stuffed_and_back(said: &[u8]) {
    let mut message = said.to_vec();
    if !message.is_empty() && !message.ends_with(b"\r\n") {
        message.extend_from_slice(b"\r\n");
    }
    let mut wire = Vec::new();
    for (at, octet) in message.iter().enumerate() {
        if *octet == b'.' && (at == 0 || message[..at].ends_with(b"\r\n")) {
            wire.push(b'.');
        }
        wire.push(*octet);
    }
    wire.extend_from_slice(b".\r\n");
    let length = wire.len();
    wire.extend_from_slice(b"\r\n.\r\nQUIT\r\n");
    let mut reader = DataReader::default();
    let (mut back, mut used) = (Vec::new(), 0);
    for piece in pieces(&wire) {
        let taken = reader.read(piece, |text| {
            back.extend_from_slice(text);
            Ok::<(), Infallible>(())
        });
        used += taken.unwrap();
    }
    assert!(reader.has_ended());
    assert_eq!(used, length, "it ended elsewhere");
    assert_eq!(back, message, "it came back as something else");
}

/// The data by the letter of RFC 5321 §4.5.2: split at CR LF, one dot at a time.
fn as_by_the_letter(said: &[u8]) {
    let (mut message, mut used, mut ended) = (Vec::new(), 0, false);
    while used < said.len() && !ended {
        let rest = &said[used..];
        let end = rest.windows(2).position(|pair| pair == b"\r\n");
        let line = &rest[..end.map_or(rest.len(), |at| at + 2)];
        used += line.len();
        if line == b".\r\n" {
            ended = true;
        } else {
            message.extend_from_slice(line.strip_prefix(b".").unwrap_or(line));
        }
    }
    let mut reader = DataReader::default();
    let mut read = Vec::new();
    let taken = reader.read(said, |text| {
        read.extend_from_slice(text);
        Ok::<(), Infallible>(())
    });
    assert_eq!((taken.unwrap(), reader.has_ended()), (used, ended));
    // What may be the end of the data is held back.
    let held = if ended { 0 } else { message.len() - read.len() };
    assert!(held == 0 || held == 1 && message.ends_with(b"\r"), "{held} octets are held back");
    assert_eq!(read, message[..message.len() - held]);
}

//! From the calls of a front-end to its vhost-user sessions: which descriptor is which channel,
//! where connections begin and end, and which messages went over them.

use std::collections::BTreeMap;

use vhost_fuzz_core::vhost_user::request::row;
use vhost_fuzz_core::vhost_user::{
    Channel, Direction, Flags, FrontendRequest, HEADER_LEN, Header, Kind, Layout,
};
use vhost_fuzz_core::wire::Reader;

use super::{Act, Call};

/// Protocol feature bits that change how a message is laid out (spec §5.2).
const LOG_SHMFD: u64 = 1 << 1;
const XEN_MMAP: u64 = 1 << 17;

/// What one call moved.
#[derive(Clone, Debug)]
pub struct Piece<'a> {
    /// The call.
    pub call: &'a Call,
    /// Channel and direction.
    pub kind: Kind,
}

/// One connection from its first byte to its end, with the back-end channel that belongs to it.
#[derive(Clone, Debug)]
pub struct Connection<'a> {
    /// Everything that was sent and received, in the order of the log.
    pub pieces: Vec<Piece<'a>>,
}

/// A message as it was on the wire.
#[derive(Clone, Debug)]
pub struct Recorded {
    /// Channel and direction.
    pub kind: Kind,
    /// Header and payload.
    pub bytes: Vec<u8>,
    /// Descriptors that came with it.
    pub fds: usize,
    /// What had been negotiated by then.
    pub layout: Layout,
    /// The piece, by its number in the connection, that began it.
    pub piece: usize,
    /// The piece that made it whole.
    pub end: usize,
}

impl Recorded {
    /// The header, which a recorded message always has.
    #[must_use]
    pub fn header(&self) -> Option<Header> {
        Header::read(&mut Reader::new(&self.bytes)).ok()
    }
}

/// The sessions of a log: connections that follow each other are one session, as a front-end
/// that connects again; connections at the same time are sessions of their own.
#[must_use]
pub fn sessions(calls: &[Call]) -> Vec<Vec<Connection<'_>>> {
    let mut back_ends = Vec::new();
    let mut mains = Vec::new();
    for group in groups(calls) {
        match channel(&group) {
            Some(Channel::Main) => mains.push(connection(Channel::Main, &group)),
            Some(Channel::Backend) => back_ends.push(connection(Channel::Backend, &group)),
            None => {}
        }
    }
    mains.sort_by_key(|main| lines(main).0);
    for back_end in back_ends {
        attach(&mut mains, back_end);
    }
    let mut sessions: Vec<Vec<Connection<'_>>> = Vec::new();
    for main in mains {
        let (start, _) = lines(&main);
        let free = sessions
            .iter_mut()
            .find(|session| session.last().is_none_or(|last| lines(last).1 < start));
        match free {
            Some(session) => session.push(main),
            None => sessions.push(vec![main]),
        }
    }
    sessions
}

/// First and last line of a connection.
fn lines(connection: &Connection<'_>) -> (usize, usize) {
    let line = |piece: Option<&Piece<'_>>| piece.map_or(0, |piece| piece.call.line);
    (line(connection.pieces.first()), line(connection.pieces.last()))
}

/// The calls on each descriptor, cut where it was closed or the peer went away. A log without
/// `close` does not show that, but a front-end sends `SET_OWNER` once for a connection and as one
/// of its first requests (spec §3.1), so a second one begins the next.
fn groups(calls: &[Call]) -> Vec<Vec<&Call>> {
    let mut open: BTreeMap<i64, (Vec<&Call>, bool)> = BTreeMap::new();
    let mut done = Vec::new();
    for call in calls {
        let owns = call.act == Act::Send
            && header(&call.bytes).is_some_and(|header| {
                header.code == FrontendRequest::SET_OWNER.0 && is_request(header)
            });
        let (group, has_owner) = open.entry(call.fd).or_default();
        let ends = matches!(call.act, Act::Close | Act::End);
        if ends || owns && *has_owner {
            done.push(std::mem::take(group));
            *has_owner = false;
        }
        if !ends {
            group.push(call);
            *has_owner |= owns;
        }
    }
    done.extend(open.into_values().map(|(group, _)| group));
    done.retain(|group| !group.is_empty());
    done
}

/// Which channel the calls on a descriptor are, seen from the front-end. `None`: no vhost-user.
fn channel(group: &[&Call]) -> Option<Channel> {
    let first = |act: Act| {
        let bytes: Vec<u8> = group
            .iter()
            .filter(|call| call.act == act)
            .flat_map(|call| call.bytes.iter().copied())
            .take(HEADER_LEN)
            .collect();
        header(&bytes)
    };
    let asks = |header: Option<Header>, channel: Channel| {
        header.is_some_and(|header| is_request(header) && row(channel, header.code).is_some())
    };
    let (sent, received) = (first(Act::Send), first(Act::Receive));
    if asks(sent, Channel::Main) {
        Some(Channel::Main)
    } else if asks(received, Channel::Backend) && sent.is_none_or(|sent| sent.flags.is_reply()) {
        Some(Channel::Backend)
    } else {
        None
    }
}

fn header(bytes: &[u8]) -> Option<Header> {
    Header::read(&mut Reader::new(bytes)).ok()
}

fn is_request(header: Header) -> bool {
    [Flags::REQUEST, Flags::NEED_REPLY].contains(&header.flags)
}

fn connection<'a>(channel: Channel, group: &[&'a Call]) -> Connection<'a> {
    let pieces = group.iter().map(|call| {
        let is_request = (channel == Channel::Main) == (call.act == Act::Send);
        let direction = if is_request { Direction::Request } else { Direction::Reply };
        Piece { call, kind: Kind { channel, direction } }
    });
    Connection { pieces: pieces.collect() }
}

/// Adds a back-end channel to the connection that handed over its other end last.
fn attach<'a>(mains: &mut [Connection<'a>], back_end: Connection<'a>) {
    let (start, _) = lines(&back_end);
    let handed_over = |main: &Connection<'_>| {
        main.pieces
            .iter()
            .filter(|piece| piece.call.act == Act::Send && piece.call.line < start)
            .filter(|piece| {
                header(&piece.call.bytes)
                    .is_some_and(|header| header.code == FrontendRequest::SET_BACKEND_REQ_FD.0)
            })
            .map(|piece| piece.call.line)
            .next_back()
    };
    let owner = mains
        .iter_mut()
        .filter_map(|main| handed_over(main).map(|line| (line, main)))
        .max_by_key(|(line, _)| *line);
    if let Some((_, main)) = owner {
        main.pieces.extend(back_end.pieces);
        main.pieces.sort_by_key(|piece| piece.call.line);
    }
}

/// The whole messages of a connection, in the order in which they began. Bytes that are no whole
/// message, as at the end of a log that stops in the middle, are left out.
#[must_use]
pub fn messages(connection: &Connection<'_>) -> Vec<Recorded> {
    let mut messages: Vec<_> =
        Kind::ALL.into_iter().flat_map(|kind| stream(connection, kind)).collect();
    messages.sort_by_key(|message| message.piece);
    let mut layout = Layout::default();
    for message in &mut messages {
        message.layout = layout;
        negotiate(&mut layout, message);
    }
    messages
}

/// The messages of one direction.
fn stream(connection: &Connection<'_>, kind: Kind) -> Vec<Recorded> {
    let mut messages = Vec::new();
    let mut bytes: Vec<u8> = Vec::new();
    // Where each piece begins that is not yet used up, with its number and its descriptors.
    let mut starts: Vec<(usize, usize, usize)> = Vec::new();
    for (number, piece) in connection.pieces.iter().enumerate() {
        if piece.kind != kind {
            continue;
        }
        starts.push((bytes.len(), number, piece.call.fds));
        bytes.extend(&piece.call.bytes);
        while let Some(len) = whole_len(&bytes) {
            let begun = starts.iter().rposition(|(start, ..)| *start == 0).unwrap_or(0);
            let inside = starts.iter().filter(|(start, ..)| *start < len);
            messages.push(Recorded {
                kind,
                bytes: bytes.drain(..len).collect(),
                fds: inside.map(|(.., fds)| fds).sum(),
                layout: Layout::default(),
                piece: starts.get(begun).map_or(number, |(_, number, _)| *number),
                end: number,
            });
            // The last piece that began inside reaches into the next message, if there is more;
            // its descriptors belong to its first byte, which is gone.
            let last = starts.iter().rposition(|(start, ..)| *start < len).unwrap_or(0);
            starts.drain(..last);
            for (at, (start, _, fds)) in starts.iter_mut().enumerate() {
                *start = start.saturating_sub(len);
                if at == 0 {
                    *fds = 0;
                }
            }
        }
    }
    messages
}

/// The length of the message at the front of `bytes`, if it is there as a whole.
fn whole_len(bytes: &[u8]) -> Option<usize> {
    let size = usize::try_from(header(bytes)?.size).ok()?;
    HEADER_LEN.checked_add(size).filter(|len| *len <= bytes.len())
}

/// What a message changes for those that follow.
fn negotiate(layout: &mut Layout, message: &Recorded) {
    let Some(header) = message.header() else { return };
    let body = message.bytes.get(HEADER_LEN..).unwrap_or_default();
    match (message.kind, FrontendRequest(header.code)) {
        (Kind::FRONTEND_REQUEST, FrontendRequest::SET_PROTOCOL_FEATURES) => {
            if let Ok(bits) = Reader::new(body).ne_u64() {
                layout.log_shmfd = bits & LOG_SHMFD != 0;
                layout.xen_mmap = bits & XEN_MMAP != 0;
            }
        }
        // A table that is answered with a table wants to be acknowledged (VU-133).
        (Kind::BACKEND_REPLY, FrontendRequest::SET_MEM_TABLE) => {
            layout.postcopy_ack = body.len() > 8;
        }
        (Kind::FRONTEND_REQUEST, FrontendRequest::SET_MEM_TABLE) => layout.postcopy_ack = false,
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::super::log::{Log, bytes};
    use super::*;

    const OWNER: &[u32] = &[3, 1, 0];

    #[test]
    fn channels_are_told_by_who_asks() {
        let log = Log::default()
            .send(3, OWNER)
            .send(3, &[21, 9, 0])
            .receive(4, &[2, 9, 0]) // CONFIG_CHANGE_MSG
            .send(4, &[2, 5, 8, 0, 0])
            .call(5, Act::Send, b"hello, this is no vhost-user", 0);
        let sessions = sessions(&log.calls);
        assert_eq!(sessions.len(), 1);
        let kinds: Vec<_> = sessions[0][0].pieces.iter().map(|piece| piece.kind).collect();
        let requests = [Kind::FRONTEND_REQUEST; 2];
        assert_eq!(kinds[..2], requests);
        assert_eq!(kinds[2..], [Kind::BACKEND_REQUEST, Kind::FRONTEND_REPLY]);
    }

    #[test]
    fn the_log_of_a_back_end_has_no_session() {
        let log = Log::default().receive(6, &[1, 1, 0]).send(6, &[1, 5, 8, 0, 0]);
        assert!(sessions(&log.calls).is_empty());
    }

    #[test]
    fn connections_end_at_close_at_eof_and_before_a_second_owner() {
        for end in [Some(Act::Close), Some(Act::End), None] {
            let mut log = Log::default().send(3, OWNER);
            if let Some(act) = end {
                log = log.call(3, act, &[], 0);
            }
            let log = log.send(3, OWNER);
            let sessions = sessions(&log.calls);
            assert_eq!((sessions.len(), sessions[0].len()), (1, 2), "{end:?}");
        }
    }

    #[test]
    fn connections_at_the_same_time_are_sessions_of_their_own() {
        let log = Log::default().send(3, OWNER).send(4, OWNER).send(3, &[1, 1, 0]);
        assert_eq!(sessions(&log.calls).len(), 2);
    }

    #[test]
    fn messages_are_cut_out_of_pieces_with_their_descriptors() {
        let kick = bytes(&[12, 9, 8, 0, 0]);
        let two = bytes(&[3, 1, 0, 1, 1, 0]);
        // A header alone, its payload, two messages at once, and one whose end the log lacks.
        let log = Log::default()
            .call(3, Act::Send, &kick[..12], 1)
            .call(3, Act::Send, &kick[12..], 0)
            .call(3, Act::Send, &two, 0)
            .call(3, Act::Send, &kick, 1)
            .call(3, Act::Send, &kick[..15], 1);
        let sessions = sessions(&log.calls);
        let messages = messages(&sessions[0][0]);
        let seen: Vec<_> = messages
            .iter()
            .map(|message| (message.bytes.len(), message.fds, message.piece, message.end))
            .collect();
        assert_eq!(seen, [(20, 1, 0, 1), (12, 0, 2, 2), (12, 0, 2, 2), (20, 1, 3, 3)]);
    }

    #[test]
    fn negotiated_features_change_what_follows() {
        let log = Log::default()
            .send(3, &[16, 1, 8, 0x2_0002, 0])
            .send(3, &[6, 1, 16, 0, 0, 0, 0])
            .receive(3, &[5, 5, 48, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0])
            .send(3, &[5, 1, 0])
            .send(3, &[5, 1, 0]);
        let sessions = sessions(&log.calls);
        let layouts: Vec<_> =
            messages(&sessions[0][0]).iter().map(|message| message.layout).collect();
        let on = Layout { xen_mmap: true, log_shmfd: true, postcopy_ack: false };
        let acks = Layout { postcopy_ack: true, ..on };
        assert_eq!(layouts, [Layout::default(), on, on, acks, on]);
    }
}

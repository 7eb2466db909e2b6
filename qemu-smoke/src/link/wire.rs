//! A connection that is passed on: two sockets, and a lane in each direction.

use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};

use rustix::event::PollFlags;
use rustix::io::Errno;
use rustix::net::{AddressFamily, Shutdown, SocketFlags, SocketType, shutdown, socketpair};
use vhost_fuzz_core::vhost_user::{Channel, FrontendRequest};

use super::lane::{Lane, Piece, Taken};
use super::tamper::{Tamper, header};
use super::tape::Tape;

/// Bytes of a message that is put together before it is passed on; of a longer one the pieces go
/// as they are.
const HELD_MAX: usize = 0x10_0000;

/// Pieces that are passed on before somebody else is looked after.
const TURN: usize = 64;

/// One of the two ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    Front,
    Back,
}

impl Side {
    pub(super) const BOTH: [Self; 2] = [Self::Front, Self::Back];

    const fn other(self) -> Self {
        match self {
            Self::Front => Self::Back,
            Self::Back => Self::Front,
        }
    }
}

/// An end: its socket, and what comes from it.
#[derive(Debug)]
struct End {
    socket: OwnedFd,
    lane: Lane,
    /// What is not passed on before more of its message has come.
    held: Option<Piece>,
}

impl End {
    fn new(socket: OwnedFd) -> Self {
        Self { socket, lane: Lane::default(), held: None }
    }
}

/// What a connection has to do with while it is served.
#[derive(Debug)]
pub(super) struct Around<'r> {
    pub(super) tamper: &'r mut Tamper,
    pub(super) tape: Option<&'r mut Tape>,
    /// Connections that began over this one.
    pub(super) begun: &'r mut Vec<(OwnedFd, OwnedFd)>,
}

/// A connection.
#[derive(Debug)]
pub(super) struct Wire {
    /// What the tape calls it.
    pub(super) number: i64,
    channel: Channel,
    front: End,
    back: End,
}

impl Wire {
    pub(super) fn new(number: i64, channel: Channel, front: OwnedFd, back: OwnedFd) -> Self {
        Self { number, channel, front: End::new(front), back: End::new(back) }
    }

    /// The socket of an end.
    pub(super) fn socket(&self, side: Side) -> BorrowedFd<'_> {
        self.end(side).socket.as_fd()
    }

    fn end(&self, side: Side) -> &End {
        match side {
            Side::Front => &self.front,
            Side::Back => &self.back,
        }
    }

    /// An end, and the one that gets what comes from it.
    const fn both(&mut self, side: Side) -> (&mut End, &mut End) {
        match side {
            Side::Front => (&mut self.front, &mut self.back),
            Side::Back => (&mut self.back, &mut self.front),
        }
    }

    /// What an end is waited for. `None`: for nothing, not even its end.
    pub(super) fn interest(&self, side: Side) -> Option<PollFlags> {
        let (from, to) = (&self.end(side).lane, &self.end(side.other()).lane);
        let mut flags = PollFlags::empty();
        flags.set(PollFlags::IN, from.pending.is_none() && !from.has_ended);
        flags.set(PollFlags::OUT, to.pending.is_some());
        (!flags.is_empty() || from.pending.is_none()).then_some(flags)
    }

    /// Passes on what there is at an end. `false`: the connection is over.
    pub(super) fn serve(&mut self, side: Side, ready: PollFlags, around: &mut Around<'_>) -> bool {
        let is_gone = ready.intersects(PollFlags::HUP | PollFlags::ERR);
        if ready.contains(PollFlags::OUT) && self.give(side.other()).is_err() {
            return false;
        }
        if (is_gone || ready.contains(PollFlags::IN)) && self.pass(side, around).is_err() {
            return false;
        }
        let [front, back] = Side::BOTH.map(|side| self.end_of_stream(side));
        !(front && back || is_gone && self.end(side).lane.has_told)
    }

    /// Tells one end that the other has ended, when it has everything that came before. Whether
    /// it knows.
    fn end_of_stream(&mut self, side: Side) -> bool {
        let (from, to) = self.both(side);
        let lane = &mut from.lane;
        if lane.has_ended && lane.pending.is_none() && !lane.has_told {
            // An end that is gone needs not be told.
            let _ = shutdown(&to.socket, Shutdown::Write);
            lane.has_told = true;
        }
        lane.has_told
    }

    /// Puts what came from `side` into the other socket.
    fn give(&mut self, side: Side) -> Result<(), Errno> {
        let (from, to) = self.both(side);
        from.lane.put(&to.socket)
    }

    /// Takes what comes from `side`, and puts it into the other socket.
    fn pass(&mut self, side: Side, around: &mut Around<'_>) -> Result<(), Errno> {
        for _ in 0..TURN {
            let (from, _) = self.both(side);
            if from.lane.pending.is_some() || from.lane.has_ended {
                break;
            }
            match from.lane.take(&from.socket)? {
                Taken::Nothing => break,
                Taken::End => {
                    from.lane.has_ended = true;
                    let Some(rest) = from.held.take() else { break };
                    self.forward(side, rest, around)?;
                }
                Taken::Piece(piece) => {
                    let piece = join(from.held.take(), piece);
                    if is_to_be_held(&from.lane, &piece, around.tamper) {
                        from.held = Some(piece);
                    } else {
                        self.forward(side, piece, around)?;
                    }
                }
            }
        }
        Ok(())
    }

    /// Passes a piece on.
    fn forward(
        &mut self,
        side: Side,
        mut piece: Piece,
        around: &mut Around<'_>,
    ) -> Result<(), Errno> {
        if self.channel == Channel::Main {
            if side == Side::Front && is(&piece, FrontendRequest::SET_BACKEND_REQ_FD) {
                around.begun.extend(stand_between(&mut piece)?);
            }
            around.tamper.change(side, &mut piece)?;
        }
        if let Some(tape) = &mut around.tape {
            tape.moved(self.number, side, &piece);
        }
        let (from, _) = self.both(side);
        from.lane.pending = Some(piece);
        self.give(side)
    }
}

/// Puts a piece behind the one before it.
fn join(held: Option<Piece>, piece: Piece) -> Piece {
    let Some(mut held) = held else { return piece };
    held.bytes.extend(piece.bytes);
    held.fds.extend(piece.fds);
    held.is_truncated |= piece.is_truncated;
    held
}

/// Whether more has to come first: which message descriptors belong to is in the header, and what
/// is to be changed has to be whole.
fn is_to_be_held(lane: &Lane, piece: &Piece, tamper: &Tamper) -> bool {
    let is_long = piece.bytes.len() > HELD_MAX;
    !is_long
        && (lane.is_in_header() && !piece.fds.is_empty()
            || tamper.wants_whole() && !lane.is_between())
}

/// Whether a piece begins with a request.
fn is(piece: &Piece, request: FrontendRequest) -> bool {
    header(piece).is_some_and(|header| header.code == request.0)
}

/// Replaces the socket that a front-end hands over. Its own and the other end of the new one: a
/// connection to be passed on.
fn stand_between(piece: &mut Piece) -> Result<Option<(OwnedFd, OwnedFd)>, Errno> {
    let [theirs] = piece.fds.as_mut_slice() else { return Ok(None) };
    let flags = SocketFlags::CLOEXEC;
    let (ours, given) = socketpair(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    Ok(Some((std::mem::replace(theirs, given), ours)))
}

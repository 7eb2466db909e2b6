//! Kicks and calls: counters of eight bytes, or whatever else a front-end has sent.

use std::io::IoSliceMut;
use std::os::fd::AsFd;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::{Errno, ReadWriteFlags, preadv2, read, retry_on_intr, write};

/// Tells whoever waits at `fd` that there is something, by an 8-byte write (VU-015).
///
/// A counter that is full was heard already. A descriptor on which the write would wait is left
/// alone (a front-end may send a pipe that nobody reads): a back-end that waits here would serve
/// nobody.
///
/// # Errors
/// What the system says.
pub fn signal(fd: impl AsFd) -> Result<(), Errno> {
    let mut fds = [PollFd::new(&fd, PollFlags::OUT)];
    if retry_on_intr(|| poll(&mut fds, Some(&NOW)))? == 0 {
        return Ok(());
    }
    match retry_on_intr(|| write(&fd, &1_u64.to_ne_bytes())) {
        Ok(_) | Err(Errno::AGAIN) => Ok(()),
        Err(error) => Err(error),
    }
}

/// Takes what is there of a kick: at most eight bytes. `false`: nobody will kick here again.
///
/// The front-end has the same counter, and may take a kick back that we were woken by. So this
/// does not wait, also where the descriptor would.
///
/// # Errors
/// What the system says; `EAGAIN` of a descriptor that does not block is none.
pub fn consume(fd: impl AsFd) -> Result<bool, Errno> {
    let mut counter = [0; 8];
    match retry_on_intr(|| read_now(&fd, &mut counter)) {
        Ok(len) => Ok(len > 0),
        Err(Errno::AGAIN) => Ok(true),
        Err(error) => Err(error),
    }
}

/// Offset of [`preadv2`] for where the file is.
const HERE: u64 = u64::MAX;

/// Reads without waiting. Of files that know only how to wait, what is there is asked for first.
fn read_now(fd: impl AsFd, bytes: &mut [u8]) -> Result<usize, Errno> {
    match preadv2(&fd, &mut [IoSliceMut::new(bytes)], HERE, ReadWriteFlags::NOWAIT) {
        Err(Errno::OPNOTSUPP | Errno::NOSYS) => {}
        other => return other,
    }
    let mut fds = [PollFd::new(&fd, PollFlags::IN)];
    if poll(&mut fds, Some(&NOW))? == 0 { Err(Errno::AGAIN) } else { read(&fd, bytes) }
}

/// No waiting.
pub(crate) const NOW: Timespec = Timespec { tv_sec: 0, tv_nsec: 0 };

#[cfg(test)]
mod tests {
    use rustix::event::{EventfdFlags, eventfd};
    use rustix::pipe::{PipeFlags, pipe_with};

    use super::*;

    #[test]
    fn a_counter_counts_and_a_full_one_does_not_block() {
        let fd = eventfd(0, EventfdFlags::CLOEXEC).unwrap();
        signal(&fd).unwrap();
        signal(&fd).unwrap();
        let mut counter = [0; 8];
        read(&fd, &mut counter).unwrap();
        assert_eq!(u64::from_ne_bytes(counter), 2);
        write(&fd, &(u64::MAX - 1).to_ne_bytes()).unwrap();
        signal(&fd).unwrap();
        assert_eq!(consume(&fd), Ok(true));
    }

    #[test]
    fn a_kick_that_was_taken_back_is_not_waited_for() {
        let counter = eventfd(0, EventfdFlags::CLOEXEC).unwrap();
        let (pipe, _writer) = pipe_with(PipeFlags::CLOEXEC).unwrap();
        for fd in [counter, pipe] {
            assert_eq!(consume(&fd), Ok(true));
        }
    }

    #[test]
    fn a_file_of_another_kind_is_read_like_a_counter() {
        let zeros = std::fs::File::open("/dev/zero").unwrap();
        assert_eq!(consume(&zeros), Ok(true));
        let file = tempfile::tempfile().unwrap();
        write(&file, &[1; 12]).unwrap();
        rustix::fs::seek(&file, rustix::fs::SeekFrom::Start(0)).unwrap();
        assert_eq!(
            [consume(&file), consume(&file), consume(&file)],
            [Ok(true), Ok(true), Ok(false)]
        );
    }

    #[test]
    fn a_pipe_that_ended_kicks_no_more() {
        let (reader, writer) = pipe_with(PipeFlags::CLOEXEC).unwrap();
        signal(&writer).unwrap();
        assert_eq!(consume(&reader), Ok(true));
        drop(writer);
        assert_eq!(consume(&reader), Ok(false));
    }

    #[test]
    fn a_pipe_that_nobody_reads_does_not_stop_us() {
        let (_reader, writer) = pipe_with(PipeFlags::CLOEXEC).unwrap();
        for _ in 0..20_000 {
            signal(&writer).unwrap();
        }
    }
}

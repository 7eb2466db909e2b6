//! The rules of the stream (spec §1.1, §1.5, §1.7), each with the exact error, over real
//! descriptors where that matters.

use std::os::fd::OwnedFd;

use vhost_fuzz_core::vhost_user::{
    FrameError, Framer, HeaderError, Kind, Layout, MAX_FDS, Message, Segment,
};
use vhost_fuzz_harness::assert_refused;
use vhost_fuzz_harness::evidence::shows;
use vhost_fuzz_harness::ledger::{Ledger, Token};
use vhost_fuzz_harness::seeds;

const LIMIT: u32 = 4096;

fn framer() -> Framer<Token> {
    Framer::new(Kind::FRONTEND_REQUEST, LIMIT)
}

fn words(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_ne_bytes()).collect()
}

/// `SET_VRING_NUM` index 0, 256 entries.
fn set_vring_num() -> Vec<u8> {
    words(&[8, 1, 8, 0, 256])
}

fn tokens(ledger: &Ledger, count: usize) -> Vec<Token> {
    (0..count).map(|_| ledger.open()).collect()
}

#[test]
fn every_message_comes_out_however_it_is_cut() {
    let _shows = shows(&["VU-001", "VU-013"]);
    for form in seeds::forms() {
        for cut in 0..=form.bytes.len() {
            let mut framer = Framer::<Token>::new(form.context.kind, LIMIT);
            let (head, tail) = form.bytes.split_at(cut);
            for mut part in [head, tail] {
                while !part.is_empty() {
                    let taken = framer.push(Segment::bytes(part)).expect("legal bytes");
                    assert!(taken > 0, "{} cut at {cut}", form.name);
                    part = &part[taken..];
                }
            }
            let frame = framer.take().unwrap_or_else(|| panic!("{} cut at {cut}", form.name));
            assert_eq!(frame.bytes, form.bytes, "{} cut at {cut}", form.name);
            assert_eq!(framer.finish(), Ok(()));
        }
    }
}

#[test]
fn descriptors_belong_to_the_message_of_their_first_byte() {
    let _shows = shows(&["VU-017", "VU-018"]);
    let ledger = Ledger::default();
    let mut framer = framer();
    let mut two = set_vring_num();
    two.extend(words(&[21, 1, 0]));
    let segment = Segment::with_fds(&two[..], tokens(&ledger, 1));
    assert_eq!(framer.push(segment), Ok(20), "the framer stops at the end of the message");
    let first = framer.take().expect("a message");
    assert_eq!(first.fds.len(), 1, "HZ-22: sent together, they belong to the first");
    assert!(first.decode(Layout::default()).is_err(), "which takes none");
    drop(first);
    assert_eq!(ledger.open_count(), 0);

    assert_eq!(framer.push(Segment::bytes(&two[20..])), Ok(12));
    assert_eq!(framer.take().expect("a message").fds.len(), 0);

    // HZ-22a: sent apart, the second has its own.
    assert_eq!(framer.push(Segment::with_fds(&two[20..], tokens(&ledger, 1))), Ok(12));
    let second = framer.take().expect("a message");
    assert_eq!(second.decode(Layout::default()).map(|message| message.code), Ok(21));
    drop(second);
    ledger.settle();
}

#[test]
fn descriptors_with_a_later_byte_are_refused_and_closed() {
    let _shows = shows(&["VU-019"]);
    for offset in 1..20 {
        let ledger = Ledger::default();
        let mut framer = framer();
        let message = set_vring_num();
        assert_eq!(framer.push(Segment::bytes(&message[..offset])), Ok(offset));
        let late = Segment::with_fds(&message[offset..], tokens(&ledger, 2));
        assert_refused!(framer.push(late), FrameError::LateFds { offset, fds: 2 });
        ledger.settle();
        assert!(framer.take().is_none());
    }
}

#[test]
fn truncated_control_data_is_refused_and_closed() {
    let _shows = shows(&["VU-019"]);
    let ledger = Ledger::default();
    let mut framer = framer();
    let message = set_vring_num();
    let segment = Segment { bytes: &message[..], fds: tokens(&ledger, 3), control_truncated: true };
    assert_refused!(framer.push(segment), FrameError::ControlTruncated);
    ledger.settle();
}

#[test]
fn more_descriptors_than_any_message_has_are_refused_and_closed() {
    let _shows = shows(&["VU-019"]);
    for (count, is_legal) in [(MAX_FDS, true), (MAX_FDS + 1, false), (253, false)] {
        let ledger = Ledger::default();
        let mut framer = framer();
        let message = set_vring_num();
        let result = framer.push(Segment::with_fds(&message[..], tokens(&ledger, count)));
        if is_legal {
            assert_eq!(result, Ok(20));
            drop(framer);
        } else {
            assert_refused!(result, FrameError::TooManyFds { fds: count, limit: MAX_FDS });
        }
        ledger.settle();
    }
}

#[test]
fn a_size_over_the_limit_is_refused_before_the_payload() {
    for size in [LIMIT + 1, u32::MAX] {
        let mut framer = framer();
        let error = FrameError::Header(HeaderError::TooLarge { size, limit: LIMIT });
        assert_refused!(framer.push(Segment::bytes(&words(&[2, 1, size]))), error);
    }
    let mut framer = framer();
    assert_eq!(framer.push(Segment::bytes(&words(&[2, 1, LIMIT]))), Ok(12));
    assert_eq!(framer.missing(), 4096);
}

#[test]
fn a_wrong_header_is_refused_before_the_payload() {
    for (flags, error) in [
        (0x2, HeaderError::Version { version: 2 }),
        (0x5, HeaderError::ReplyBitInRequest),
        (0x11, HeaderError::ReservedFlags { bits: 0x10 }),
    ] {
        let ledger = Ledger::default();
        let mut framer = framer();
        let header = words(&[2, flags, 8]);
        let segment = Segment::with_fds(&header[..], tokens(&ledger, 1));
        assert_refused!(framer.push(segment), FrameError::Header(error));
        ledger.settle();
    }
}

#[test]
fn the_end_of_the_stream_inside_a_message_is_no_clean_end() {
    let message = set_vring_num();
    for have in 0..=message.len() {
        let ledger = Ledger::default();
        let mut framer = framer();
        if have > 0 {
            let segment = Segment::with_fds(&message[..have], tokens(&ledger, 1));
            assert_eq!(framer.push(segment), Ok(have));
        }
        match have {
            0 | 20 => assert_eq!(framer.finish(), Ok(())),
            1..12 => assert_refused!(framer.finish(), FrameError::EofInHeader { have }),
            _ => assert_refused!(
                framer.finish(),
                FrameError::EofInPayload { have: have - 12, need: 8 }
            ),
        }
        drop(framer);
        ledger.settle();
    }
}

#[test]
fn an_error_is_for_ever_until_reset() {
    let mut framer = framer();
    let error = framer.push(Segment::bytes(&words(&[2, 2, 8]))).expect_err("version 2");
    assert_eq!(framer.push(Segment::bytes(&set_vring_num())), Err(error));
    assert_eq!((framer.finish(), framer.missing()), (Err(error), 0));
    assert!(framer.take().is_none());
    framer.reset(Kind::FRONTEND_REQUEST);
    assert_eq!(framer.push(Segment::bytes(&set_vring_num())), Ok(20));
    assert!(framer.take().is_some());
}

#[test]
fn a_message_that_nobody_takes_stays() {
    let ledger = Ledger::default();
    let mut framer = framer();
    let message = set_vring_num();
    assert_eq!(framer.push(Segment::with_fds(&message[..], tokens(&ledger, 1))), Ok(20));
    assert_eq!(framer.push(Segment::bytes(&message)), Ok(0), "there is no room for the next");
    assert_eq!(framer.missing(), 0);
    assert_eq!(framer.take().expect("a message").fds.len(), 1);
    ledger.settle();
}

/// The same over descriptors of the kernel: what is refused does not stay open.
#[test]
fn real_descriptors_are_closed() {
    let _shows = shows(&["VU-019"]);
    // Other tests of this process open files as well: those of a file of our own are counted.
    let own = tempfile::NamedTempFile::new().expect("a file");
    let open = || {
        let links = std::fs::read_dir("/proc/self/fd").expect("descriptors");
        let targets = links.filter_map(|link| std::fs::read_link(link.ok()?.path()).ok());
        targets.filter(|target| target == own.path()).count()
    };
    let file = || -> OwnedFd { own.reopen().expect("the file").into() };
    let message = set_vring_num();
    let before = open();
    let mut framer = Framer::<OwnedFd>::new(Kind::FRONTEND_REQUEST, LIMIT);
    for round in 0..300 {
        let fds: Vec<_> = (0..=round % 10).map(|_| file()).collect();
        let _ = framer.push(Segment::with_fds(&message[..round % 20], fds));
        let frame = framer.take();
        drop(frame);
        if round % 3 == 0 {
            framer.reset(Kind::FRONTEND_REQUEST);
        }
    }
    drop(framer);
    assert_eq!((before, open()), (1, 1), "descriptors stay open");
}

#[test]
fn a_frame_decodes_with_the_number_of_its_descriptors() {
    let ledger = Ledger::default();
    let mut framer = framer();
    let request = words(&[21, 9, 0]);
    framer.push(Segment::with_fds(&request[..], tokens(&ledger, 1))).expect("legal");
    let frame = framer.take().expect("whole");
    let expected = Message::decode(Kind::FRONTEND_REQUEST, Layout::default(), &request, 1);
    assert_eq!(frame.decode(Layout::default()), expected);
    assert_eq!(
        expected.map(|message| message.to_string()),
        Ok("SET_BACKEND_REQ_FD need_reply".into())
    );
}

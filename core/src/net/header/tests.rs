//! What is not told by one rule alone: finishing checksums, and following headers.

use super::*;

/// A UDP datagram over IPv4 with a partial checksum.
fn datagram() -> Vec<u8> {
    let mut frame = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0];
    frame.extend([0x45, 0, 0, 30, 0, 0, 0, 0, 64, 17, 0, 0, 10, 0, 0, 1, 192, 0, 2, 10]);
    // Spec §10: the partial sum of this datagram is cc 26, its checksum f2 05.
    frame.extend([0, 67, 0, 68, 0, 10, 0xcc, 0x26, 0x41, 0x42]);
    frame
}

#[test]
fn a_partial_checksum_is_finished() {
    let mut frame = datagram();
    assert!(Checksum { start: 34, offset: 6 }.finish(&mut frame));
    assert_eq!(frame[40..42], [0xf2, 0x05]);
}

#[test]
fn a_sum_of_zero_is_written_in_its_other_form() {
    let mut frame = vec![0; 20];
    frame[14..16].copy_from_slice(&[0xff, 0xff]);
    assert!(Checksum { start: 14, offset: 4 }.finish(&mut frame));
    assert_eq!(frame[18..], [0xff, 0xff]);
}

#[test]
fn a_checksum_outside_of_the_frame_is_not_written() {
    for (start, offset, len) in [(13, 0, 64), (14, 49, 64), (0xffff, 0xffff, 64), (14, 0, 15)] {
        let mut frame = vec![7; len];
        assert!(!Checksum { start, offset }.finish(&mut frame), "{start} + {offset}");
        assert!(frame.iter().all(|byte| *byte == 7));
    }
    assert!(Checksum { start: 14, offset: 48 }.finish(&mut [7; 64]));
}

//! Recorded frames as a file that every packet tool reads: the classic pcap format, little-endian,
//! with Ethernet frames and microseconds. Times count from the start of the recording.

use std::fmt;

/// Microseconds as the unit of time, and the byte order of this format.
const MAGIC: u32 = 0xa1b2_c3d4;

/// The version of the format: 2.4.
const VERSION: [u16; 2] = [2, 4];

/// Most bytes of a frame.
pub const FRAME_MAX: usize = 0xffff;

/// The link type: Ethernet.
const ETHERNET: u32 = 1;

/// Bytes in front of the first frame.
const FILE_HEADER_LEN: usize = 24;

/// One frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Milliseconds since the start of the recording; at most 2^32 seconds.
    pub at_ms: u64,
    /// Its bytes, of which there are at most [`FRAME_MAX`].
    pub bytes: Vec<u8>,
}

/// Why a file is no recording.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PcapError {
    /// It is no pcap file of Ethernet frames as this module writes them.
    Header,
    /// The frame with this number, from 0, is cut or longer than [`FRAME_MAX`].
    Frame(usize),
    /// The frame with this number has no time, or came before the one in front of it.
    Time(usize),
}

impl fmt::Display for PcapError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Header => f.write_str("no pcap file (little-endian, microseconds, Ethernet)"),
            Self::Frame(number) => write!(f, "frame {number} is cut or too long"),
            Self::Time(number) => write!(f, "frame {number} has no time, or an earlier one"),
        }
    }
}

impl std::error::Error for PcapError {}

/// The file of these frames. What is longer than [`FRAME_MAX`] is cut, and its length says so.
#[must_use]
pub fn write(frames: &[Frame]) -> Vec<u8> {
    let mut file = Vec::new();
    file.extend(MAGIC.to_le_bytes());
    VERSION.iter().for_each(|part| file.extend(part.to_le_bytes()));
    let limit = u32::try_from(FRAME_MAX).unwrap_or(u32::MAX);
    // Time zone and accuracy are 0 in every file.
    [0, 0, limit, ETHERNET].iter().for_each(|word| file.extend(word.to_le_bytes()));
    for Frame { at_ms, bytes } in frames {
        let kept = bytes.get(..FRAME_MAX).unwrap_or(bytes);
        let number = |value: u64| u32::try_from(value).unwrap_or(u32::MAX).to_le_bytes();
        let len = |bytes: &[u8]| u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_le_bytes();
        file.extend(number(at_ms / 1000));
        file.extend(number(at_ms % 1000 * 1000));
        file.extend(len(kept));
        file.extend(len(bytes));
        file.extend(kept);
    }
    file
}

/// The frames of a file.
///
/// # Errors
/// The first thing that is wrong with it.
pub fn read(file: &[u8]) -> Result<Vec<Frame>, PcapError> {
    let (header, mut rest) = file.split_at_checked(FILE_HEADER_LEN).ok_or(PcapError::Header)?;
    let empty = write(&[]);
    if header != empty {
        return Err(PcapError::Header);
    }
    let mut frames: Vec<Frame> = Vec::new();
    while !rest.is_empty() {
        let number = frames.len();
        let (frame, behind) = record(rest).ok_or(PcapError::Frame(number))?;
        let (Some(at_ms), bytes) = frame else { return Err(PcapError::Time(number)) };
        if frames.last().is_some_and(|before| before.at_ms > at_ms) {
            return Err(PcapError::Time(number));
        }
        frames.push(Frame { at_ms, bytes: bytes.to_vec() });
        rest = behind;
    }
    Ok(frames)
}

/// A frame with its time, if that is one, and what follows it.
type Record<'a> = ((Option<u64>, &'a [u8]), &'a [u8]);

fn record(file: &[u8]) -> Option<Record<'_>> {
    let (seconds, rest) = word(file)?;
    let (micros, rest) = word(rest)?;
    let (kept, rest) = word(rest)?;
    let (whole, rest) = word(rest)?;
    let kept = usize::try_from(kept).ok().filter(|kept| *kept <= FRAME_MAX)?;
    let (bytes, rest) = rest.split_at_checked(kept)?;
    if usize::try_from(whole) != Ok(kept) {
        return None;
    }
    let at = (micros < 1_000_000).then(|| u64::from(seconds) * 1000 + u64::from(micros) / 1000);
    Some(((at, bytes), rest))
}

fn word(bytes: &[u8]) -> Option<(u32, &[u8])> {
    let (word, rest) = bytes.split_first_chunk()?;
    Some((u32::from_le_bytes(*word), rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frames() -> Vec<Frame> {
        vec![
            Frame { at_ms: 0, bytes: vec![1; 60] },
            Frame { at_ms: 1999, bytes: vec![] },
            Frame { at_ms: 1999, bytes: vec![2; 1514] },
        ]
    }

    #[test]
    fn what_is_written_is_read() {
        assert_eq!(read(&write(&frames())), Ok(frames()));
        assert_eq!(read(&write(&[])), Ok(vec![]));
    }

    #[test]
    fn the_header_is_that_of_the_format() {
        let file = write(&frames());
        assert_eq!(file[..8], [0xd4, 0xc3, 0xb2, 0xa1, 2, 0, 4, 0]);
        assert_eq!(file[8..24], [0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0, 0, 1, 0, 0, 0]);
        assert_eq!(file[100..108], [1, 0, 0, 0, 0x58, 0x3e, 0x0f, 0], "1 s and 999000 µs");
    }

    #[test]
    fn every_cut_is_noticed() {
        let file = write(&frames());
        let whole = [24, 24 + 76, 24 + 76 + 16, file.len()];
        for len in (0..=file.len()).filter(|len| !whole.contains(len)) {
            assert!(read(&file[..len]).is_err(), "{len}");
        }
    }

    #[test]
    fn what_is_no_recording_is_refused() {
        let mut other_order = write(&frames());
        other_order[..4].reverse();
        assert_eq!(read(&other_order), Err(PcapError::Header));
        let mut no_time = write(&frames());
        no_time[30] = 0xff;
        assert_eq!(read(&no_time), Err(PcapError::Time(0)));
        let mut back = frames();
        back.reverse();
        assert_eq!(read(&write(&back)), Err(PcapError::Time(2)));
        let long = Frame { at_ms: 0, bytes: vec![0; FRAME_MAX + 1] };
        assert_eq!(read(&write(&[long])), Err(PcapError::Frame(0)));
    }
}

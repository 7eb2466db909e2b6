//! Ethernet II and 802.1Q (§6.1).

use crate::Id;

/// What a frame says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Bytes 0 to 5.
    pub destination: [u8; 6],
    /// Bytes 6 to 11.
    pub source: [u8; 6],
    /// Protocol and control of the tag.
    pub tag: Option<(u16, u16)>,
    /// Type, or length.
    pub ether_type: u16,
    /// Where the payload begins and ends in the frame.
    pub payload: (usize, usize),
}

/// The big-endian number at `at`, if the bytes reach that far.
pub(crate) fn number(bytes: &[u8], at: usize) -> Option<u16> {
    if at + 2 > bytes.len() {
        return None;
    }
    Some(256 * u16::from(bytes[at]) + u16::from(bytes[at + 1]))
}

/// Reads a frame.
///
/// # Errors
/// The first rule that it breaks.
pub fn frame(bytes: &[u8]) -> Result<Frame, Id> {
    if bytes.len() < 14 {
        return Err(Id::L2(1));
    }
    let mut frame = Frame {
        destination: [0; 6],
        source: [0; 6],
        tag: None,
        ether_type: number(bytes, 12).ok_or(Id::L2(1))?,
        payload: (14, bytes.len()),
    };
    frame.destination.copy_from_slice(&bytes[0..6]);
    frame.source.copy_from_slice(&bytes[6..12]);
    if frame.source[0] % 2 == 1 {
        return Err(Id::L2(2));
    }
    let is_tag = |value| value == 0x8100 || value == 0x88a8;
    if is_tag(frame.ether_type) {
        let control = number(bytes, 14).ok_or(Id::L2(1))?;
        let inner = number(bytes, 16).ok_or(Id::L2(1))?;
        if is_tag(inner) {
            return Err(Id::L2(4));
        }
        frame.tag = Some((frame.ether_type, control));
        frame.ether_type = inner;
        frame.payload = (18, bytes.len());
    }
    let (start, end) = frame.payload;
    if frame.ether_type < 0x600 {
        let len = usize::from(frame.ether_type);
        if len > 0x5dc || start + len > end {
            return Err(Id::L2(3));
        }
        frame.payload = (start, start + len);
    }
    Ok(frame)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_a_plain_and_a_tagged_frame() {
        let mut bytes = [0; 20];
        bytes[12..14].copy_from_slice(&[8, 6]);
        assert_eq!(frame(&bytes).unwrap().payload, (14, 20));
        bytes[12..18].copy_from_slice(&[0x81, 0, 0, 5, 8, 6]);
        let tagged = frame(&bytes).unwrap();
        assert_eq!((tagged.tag, tagged.ether_type), (Some((0x8100, 5)), 0x0806));
        assert_eq!(tagged.payload, (18, 20));
        assert_eq!(frame(&bytes[..17]), Err(Id::L2(1)));
        bytes[6] = 1;
        assert_eq!(frame(&bytes), Err(Id::L2(2)));
    }
}

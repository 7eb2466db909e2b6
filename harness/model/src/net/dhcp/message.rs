//! What a client says (§6.4).

use super::Address;
use crate::Id;
use crate::net::ethernet::number;

/// What a client says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Bytes 4 to 7.
    pub xid: Vec<u8>,
    /// Bytes 10 and 11.
    pub flags: u16,
    /// Bytes 12 to 15.
    pub ciaddr: Address,
    /// Bytes 24 to 27.
    pub giaddr: Address,
    /// Bytes 28 to 43.
    pub chaddr: Vec<u8>,
    /// Option 53.
    pub kind: u8,
    /// Option 50.
    pub requested: Option<Address>,
    /// Option 54.
    pub server: Option<Address>,
    /// Every option, by code, in the order in which they came; values of a code are put together.
    pub options: Vec<(u8, Vec<u8>)>,
}

impl Message {
    /// The value of an option.
    #[must_use]
    pub fn option(&self, code: u8) -> Option<&[u8]> {
        find(&self.options, code)
    }

    /// There is an option of such a length.
    #[must_use]
    pub fn has(&self, code: u8, len: usize) -> bool {
        self.option(code).is_some_and(|value| value.len() == len)
    }

    /// The hardware address.
    #[must_use]
    pub fn mac(&self) -> [u8; 6] {
        let mut mac = [0; 6];
        mac.copy_from_slice(&self.chaddr[..6]);
        mac
    }

    /// Who it is from: 61 and option 61, or 1 and the hardware address.
    #[must_use]
    pub fn client(&self) -> Vec<u8> {
        match self.option(61) {
            Some(id) => [&[61], id].concat(),
            None => [&[1], &self.mac()[..]].concat(),
        }
    }
}

fn find(options: &[(u8, Vec<u8>)], code: u8) -> Option<&[u8]> {
    options.iter().find(|(other, _)| *other == code).map(|(_, value)| &value[..])
}

/// Reads a message.
///
/// # Errors
/// The first rule that it breaks, in the order of DC-110.
pub fn read(payload: &[u8]) -> Result<Message, Id> {
    if payload.len() < 241 {
        return Err(Id::Dh(2));
    }
    if payload[0] != 1 {
        return Err(Id::Dh(1));
    }
    if payload[1] != 1 || payload[2] != 6 {
        return Err(Id::Dh(3));
    }
    if payload[236..240] != [0x63, 0x82, 0x53, 0x63] {
        return Err(Id::Dh(1));
    }
    let mut options = Vec::new();
    add(&mut options, &payload[240..])?;
    let kinds = find(&options, 53).is_some();
    let overload = match find(&options, 52) {
        Some([value]) => *value,
        _ => 0,
    };
    if overload == 1 || overload == 3 {
        add(&mut options, &payload[108..236])?;
    }
    if overload == 2 || overload == 3 {
        add(&mut options, &payload[44..108])?;
    }
    if !kinds {
        return Err(Id::Dh(1));
    }
    let fixed = |code, len| match find(&options, code) {
        Some(value) if value.len() != len => Err(Id::Dh(9)),
        value => Ok(value),
    };
    let kind = fixed(53, 1)?.map_or(0, |value| value[0]);
    let address = |value: &[u8]| [value[0], value[1], value[2], value[3]];
    let requested = fixed(50, 4)?.map(address);
    let server = fixed(54, 4)?.map(address);
    if find(&options, 61).is_some_and(|id| id.len() > 255) {
        return Err(Id::Dc(112));
    }
    Ok(Message {
        xid: payload[4..8].to_vec(),
        flags: number(payload, 10).unwrap_or(0),
        ciaddr: address(&payload[12..]),
        giaddr: address(&payload[24..]),
        chaddr: payload[28..44].to_vec(),
        kind,
        requested,
        server,
        options,
    })
}

/// Adds the options of one field.
fn add(options: &mut Vec<(u8, Vec<u8>)>, field: &[u8]) -> Result<(), Id> {
    let mut at = 0;
    while at < field.len() && field[at] != 255 {
        let code = field[at];
        at += 1;
        if code == 0 {
            continue;
        }
        if at == field.len() {
            return Err(Id::Dh(2));
        }
        let len = usize::from(field[at]);
        at += 1;
        if at + len > field.len() {
            return Err(Id::Dh(5));
        }
        let value = &field[at..at + len];
        at += len;
        match options.iter_mut().find(|(other, _)| *other == code) {
            Some((_, all)) => all.extend(value),
            None => options.push((code, value.to_vec())),
        }
    }
    Ok(())
}

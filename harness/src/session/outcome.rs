//! How the effects of a session end: as the script says, or well.

use std::collections::VecDeque;

use vhost_fuzz_core::session::{Done, Effect, EffectError};
use vhost_fuzz_model::session as model;

use crate::ledger::{Ledger, Token};
use crate::oracle;

/// `errno` of an effect that fails.
const EIO: i32 = 5;

/// Where every mapping lies, when no script says so.
pub const MAPPING: u64 = 0x7f00_0000_0000;

/// Bytes of an in-flight area that is made, when no script says so.
pub const AREA: u64 = 0x2000;

/// How the effects of one input end, in their order.
#[derive(Debug, Default)]
pub struct Outcomes {
    queue: VecDeque<(bool, u64)>,
    config: Vec<u8>,
}

/// What an effect ends in, before there are handles.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Nothing,
    Mapped,
    Base,
    /// Bytes wanted, and the first of them.
    Config {
        offset: u32,
        size: u32,
    },
    Crypto,
    Fd,
    MaybeFd,
    Inflight,
}

/// How one effect ends.
#[derive(Clone, Copy, Debug)]
pub struct Ending {
    form: Form,
    is_ok: bool,
    number: u64,
    config_len: usize,
}

impl Outcomes {
    /// The next effect without one of its own ends like this.
    pub fn push(&mut self, is_ok: bool, value: u64) {
        self.queue.push_back((is_ok, value));
    }

    /// Forgets what was not used.
    pub fn clear(&mut self) {
        self.queue.clear();
    }

    /// How the effect of the next request of the back-end channel ends.
    pub fn for_front_end(&mut self) -> oracle::frontend::Outcome {
        use oracle::frontend::Outcome;
        match self.queue.pop_front() {
            None => Outcome::Done,
            Some((true, value)) if value.is_multiple_of(2) => Outcome::Done,
            Some((true, _)) => Outcome::NoObject,
            Some((false, _)) => Outcome::Failed(EIO),
        }
    }

    /// How this effect ends. The descriptor in it is closed, as a caller does when it is done.
    pub fn end(&mut self, effect: Effect<'_, Token>) -> Ending {
        let form = form(&effect);
        let told = self.queue.pop_front();
        let (is_ok, value) = told.unwrap_or((true, 0));
        let number = match (form, told) {
            (Form::Mapped, None) => MAPPING,
            (Form::Inflight, None) => AREA,
            (Form::Base, _) => value & u64::from(u32::MAX),
            _ => value,
        };
        let config_len = match form {
            Form::Config { offset, size } => self.read_config(offset, size, value),
            _ => 0,
        };
        Ending { form, is_ok, number, config_len }
    }

    /// Fills the buffer; a value other than 0 makes the read a short one.
    fn read_config(&mut self, offset: u32, size: u32, value: u64) -> usize {
        let wanted = u64::from(size);
        let len = if value == 0 { wanted } else { value.min(wanted) };
        let first = offset.to_le_bytes()[0];
        self.config.clear();
        let bytes = (0..len).map(|at| first.wrapping_add(at.to_le_bytes()[0]) ^ 0x5a);
        self.config.extend(bytes);
        self.config.len()
    }

    /// The ending for the model.
    #[must_use]
    pub fn for_model(&self, ending: Ending) -> model::Outcome {
        if !ending.is_ok {
            return model::Outcome::Failed;
        }
        let bytes = self.config.get(..ending.config_len).unwrap_or_default().to_vec();
        model::Outcome::Done { number: ending.number, bytes, fd: ending.has_fd() }
    }

    /// The ending for the code, with handles of these ledgers.
    ///
    /// # Errors
    /// The effect fails, because the script says so.
    pub fn for_core(
        &self,
        ending: Ending,
        fds: &Ledger,
        mappings: &Ledger,
    ) -> Result<Done<'_, Token, Token>, EffectError> {
        let Ending { form, is_ok, number, config_len } = ending;
        if !is_ok {
            return Err(EffectError(EIO));
        }
        Ok(match form {
            Form::Nothing => Done::Nothing,
            Form::Mapped => Done::Mapped { mapping: mappings.open(), address: number },
            Form::Base => Done::Base(u32::try_from(number).unwrap_or(u32::MAX)),
            Form::Config { .. } => Done::Config(self.config.get(..config_len).unwrap_or_default()),
            Form::Crypto => Done::Crypto(number.cast_signed()),
            Form::Fd => Done::Fd(fds.open()),
            Form::MaybeFd => Done::MaybeFd(ending.has_fd().then(|| fds.open())),
            Form::Inflight => Done::Inflight { fd: fds.open(), mmap_size: number, mmap_offset: 0 },
        })
    }
}

impl Ending {
    /// Whether a descriptor comes back: an even number says yes.
    const fn has_fd(self) -> bool {
        self.number.is_multiple_of(2)
    }
}

fn form(effect: &Effect<'_, Token>) -> Form {
    match effect {
        Effect::MapRegion { .. } | Effect::MapLog { .. } | Effect::MapInflight { .. } => {
            Form::Mapped
        }
        Effect::StopRing { .. } => Form::Base,
        Effect::ReadConfig { offset, size } => Form::Config { offset: *offset, size: *size },
        Effect::CreateCrypto { .. } => Form::Crypto,
        Effect::OpenUserfault => Form::Fd,
        Effect::SharedObject { .. } | Effect::Transfer { .. } => Form::MaybeFd,
        Effect::AllocateInflight { .. } => Form::Inflight,
        _ => Form::Nothing,
    }
}

//! RPM_LOG_OWN_FILE and RPM_LOG_OWN: a file for the runtime's own lines.

use super::file_name::{FileName, own_file};
use crate::config::grammar::{show_word, word};
use crate::config::reader::{Reader, Value};
use crate::config::setting::{Preset, Setting};
use crate::config::show;
use crate::model::Word;

pub(super) const LOG_OWN_FILE: Setting<FileName> = Setting {
    name: "RPM_LOG_OWN_FILE",
    default: Preset::Unset,
    help: "our own lines also go to this file, a new one each day",
    doc: "A file for the runtime's own lines, apart from those of the workers. It gets a timestamp in every format, and is \
          rotated at midnight UTC and by `RPM_LOG_ROTATE_SIZE`; `RPM_LOG_RETAIN` and `RPM_LOG_COMPRESS` hold for it too. A \
          path that can never be opened, such as one below a file, is a fault of the configuration. See \
          [logging.md](logging.md#a-file-of-their-own).",
    parse: own_file,
    show: show::text,
};

pub(super) const LOG_OWN: Setting<OwnLines> = Setting {
    name: "RPM_LOG_OWN",
    default: Preset::Text("both"),
    help: "our own lines: both (the output, and RPM_LOG_OWN_FILE), file (only there)",
    doc: "Where the runtime's own lines go. `both`: to the output as ever, and to `RPM_LOG_OWN_FILE` if that is set. `file`: \
          only to `RPM_LOG_OWN_FILE`; problems of this file itself are still told in the output. As `RPM_LOG_OWN_FILE` is \
          the name of a log file, this variable cannot be given by a file of its value.",
    parse: word,
    show: show_word,
};

/// RPM_LOG_OWN.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OwnLines {
    /// To the output, and to the file if there is one.
    Both,
    /// To the file only.
    File,
}

impl Word for OwnLines {
    const ALL: &'static [Self] = &[Self::Both, Self::File];

    fn word(self) -> &'static str {
        match self {
            Self::Both => "both",
            Self::File => "file",
        }
    }
}

/// Where the runtime's own lines go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Own {
    /// RPM_LOG_OWN; `File` only if there is a file.
    pub lines: OwnLines,
    /// RPM_LOG_OWN_FILE.
    pub file: Option<FileName>,
}

impl Own {
    pub(super) fn read(reader: &Reader<'_>) -> Value<Self> {
        Ok(Self {
            lines: reader.get(&LOG_OWN)?,
            file: reader.given(&LOG_OWN_FILE)?,
        })
    }
}

//! `file/write` and `file/remove`.

use std::fs::{self, File};
use std::io::Write as _;

use rustix::fs::OFlags;
use weir_protocol::method::file::{Done, Extent, MAX_WRITE_BYTES, Manner, Remove, Write, Writing, Written};

use super::worker::{Worker, too_large};
use super::write::{create, permit, replace};
use super::{Fault, On as _, Outcome};

pub(super) fn write(ask: &Write, worker: &Worker) -> Outcome<Written> {
    let (path, content) = (&ask.path, &ask.content.0);
    if content.len() > MAX_WRITE_BYTES {
        return Err(too_large(content.len() as u64, "bytes", MAX_WRITE_BYTES as u64)).writing(path);
    }
    let fill = |mut file: &File| file.write_all(content).map_err(Fault::from);
    let new = content.len() as u64;
    let (size, manner) = match ask.writing {
        Writing::Create => create(worker, path, ask.permissions, fill).map(|()| (new, Manner::InPlace)),
        Writing::Replace => replace(worker, path, ask.permissions, fill).map(|manner| (new, manner)),
        Writing::Append => append(ask, worker).map(|size| (size, Manner::InPlace)),
    }
    .writing(path)?;
    Ok(Written { size, manner })
}

/// What was added before a failure is taken away again, unless somebody else has added to it meanwhile.
fn append(ask: &Write, worker: &Worker) -> Result<u64, Fault> {
    let flags = OFlags::WRONLY | OFlags::APPEND;
    let file = match worker.open(&ask.path, flags) {
        Err(Fault::System(libc::ENOENT)) => worker.make(&ask.path, flags)?,
        opened => opened?,
    };
    let before = file.metadata()?.len();
    if let Err(error) = (&file).write_all(&ask.content.0) {
        let now = file.metadata()?.len();
        if now <= before.saturating_add(ask.content.0.len() as u64) {
            file.set_len(before)?;
        }
        return Err(error.into());
    }
    permit(&file, ask.permissions)?;
    Ok(file.metadata()?.len())
}

pub(super) fn remove(ask: &Remove, worker: &Worker) -> Outcome<Done> {
    worker.check_name(&ask.path).writing(&ask.path)?;
    let place = ask.path.as_path();
    let removed = match fs::symlink_metadata(place) {
        Ok(found) if found.is_dir() => match ask.extent {
            Extent::One => fs::remove_dir(place),
            Extent::Tree => fs::remove_dir_all(place),
        },
        Ok(_) => fs::remove_file(place),
        Err(error) => Err(error),
    };
    removed.writing(&ask.path)?;
    Ok(Done {})
}

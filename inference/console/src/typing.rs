//! Lines that a person types, one editor at a time; requests of the network are served meanwhile.

use alloc::string::String;

use embodios_pool::platform::Platform;

use super::editor::{Editor, Entered};
use super::input::Input;
use super::output::Output;
use super::serve::Reader;
use super::{Console, PROMPT};

impl Console<'_> {
    /// Has a person type a line, after `screen` is shown, and serves requests meanwhile. `None` at the end of the
    /// input.
    pub(super) fn read_command(&mut self, editor: &mut Editor, screen: String) -> Option<Entered> {
        let Self { platform, input, output, service, workers, .. } = self;
        let mut meanwhile = |reader: &Reader| {
            let Some(service) = service else { return wait_for(reader) };
            if let Some(news) = service.news() {
                // In the place of the prompt, which follows anew.
                let prompt = if output.is_quiet() { "" } else { PROMPT };
                platform.write(if output.is_quiet() { b"" } else { b"\r" });
                output.note(format_args!("{news}{prompt}"));
            }
            // Workers were there when the service began, and have only been moved since.
            workers.pool(None).is_ok_and(|pool| service.serve_beside(pool, reader))
        };
        read_line(*platform, input, *output, editor, screen, &mut meanwhile)
    }
}

/// Waits for input, with nothing else to do meanwhile.
pub fn wait_for(reader: &Reader) -> bool {
    reader.wait_until_ready();
    true
}

/// Has a person type a line, after `screen` is shown. `None` at the end of the input, or once `meanwhile` says so.
pub fn read_line(
    platform: &dyn Platform,
    input: &mut Input,
    output: Output,
    editor: &mut Editor,
    mut screen: String,
    meanwhile: &mut dyn FnMut(&Reader) -> bool,
) -> Option<Entered> {
    let show = |screen: &str| {
        if !output.is_quiet() {
            platform.write(screen.as_bytes());
        }
    };
    loop {
        if input.is_empty() {
            show(&screen);
            screen.clear();
        }
        let bytes = input.wait_beside(meanwhile);
        if bytes.is_empty() {
            return None;
        }
        let (count, entered) = editor.feed(bytes, &mut screen);
        input.take(count);
        if entered.is_some() {
            show(&screen);
            return entered;
        }
    }
}

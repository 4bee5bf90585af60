//! `rpmctl completion` and `rpmctl man`: what shells and man(1) know about the command line, from its definitions.

use std::fmt::Write as _;

use clap::{Command, CommandFactory};
use rpm_runtime::config;

use super::args::{Args, Page, Shell};

/// The script that completes words for a shell.
pub fn completion(shell: Shell) -> String {
    let shell = match shell {
        Shell::Bash => clap_complete::Shell::Bash,
        Shell::Zsh => clap_complete::Shell::Zsh,
        Shell::Fish => clap_complete::Shell::Fish,
    };
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Args::command(), "rpmctl", &mut script);
    String::from_utf8_lossy(&script).into_owned()
}

/// A page for man(1), in its language (man(7)).
pub fn page(which: Page) -> String {
    match which {
        Page::Rpmctl => of_rpmctl(),
        Page::RpmRuntime => of_runtime(),
    }
}

fn of_rpmctl() -> String {
    let mut root = Args::command();
    root.build();
    let mut page = Roff::new("rpmctl", &text(root.get_about()));
    page.section("SYNOPSIS");
    page.bold("rpmctl");
    page.line("COMMAND [OPTIONS]");
    page.section("OPTIONS");
    page.line("Every command takes these.");
    page.options(&root, clap::Arg::is_global_set);
    page.section("COMMANDS");
    for command in root
        .get_subcommands()
        .filter(|command| !command.is_hide_set())
    {
        let usage = command.clone().render_usage().to_string();
        page.subsection(usage.trim_start_matches("Usage: ").trim());
        page.prose(&text(command.get_about()));
        let aliases: Vec<&str> = command.get_visible_aliases().collect();
        if !aliases.is_empty() {
            page.prose(&format!(
                "The same is rpmctl {}.",
                aliases.join(", rpmctl ")
            ));
        }
        page.options(command, |option| !option.is_global_set());
        page.prose(&text(command.get_after_help()));
    }
    page.section("EXIT STATUS");
    let after = text(root.get_after_help());
    page.prose(after.split("\n\n").next().unwrap_or_default());
    page.section("SEE ALSO");
    page.line("rpm-runtime(1)");
    page.text
}

fn of_runtime() -> String {
    let help = config::help();
    let about = help.lines().next().unwrap_or_default();
    let about = about.trim_start_matches("rpm-runtime ");
    let mut page = Roff::new("rpm-runtime", about);
    page.section("SYNOPSIS");
    page.bold("rpm-runtime");
    page.line("[OPTION...] [--] COMMAND [ARG...]");
    page.section("OPTIONS");
    // As the help text has them: `  --check        show ...`.
    for line in help.lines().filter(|line| line.starts_with("  --")) {
        let line = line.trim_start();
        let name = line.find(' ').unwrap_or(line.len());
        let (name, what) = line.split_at(name);
        let value = what
            .split(' ')
            .nth(1)
            .filter(|word| *word == word.to_uppercase());
        let value = value.unwrap_or_default();
        let what = what.trim_start().trim_start_matches(value);
        page.item(format!("{name} {value}").trim_end(), what.trim_start());
    }
    page.section("ENVIRONMENT");
    page.prose(
        "Empty is unset. Durations carry a unit: 500ms, 30s, 2m, 1h. A value can be in a file: RPM_NAME_FILE=/path. \
         Lists are separated by commas. Signals go by name or number.",
    );
    for group in config::GROUPS {
        page.subsection(group.title);
        for setting in group.settings {
            let default = match setting.default() {
                config::Preset::Text(default) | config::Preset::Computed(default) => default,
                config::Preset::Unset => "none",
            };
            let what = format!("{} (default: {default})", setting.help());
            page.item(setting.name(), &what);
        }
    }
    page.section("EXIT STATUS");
    let codes = help.split("Exit codes: ").nth(1).unwrap_or_default();
    page.prose(&codes.replace('\n', " "));
    page.section("SEE ALSO");
    page.line("rpmctl(1)");
    page.text
}

fn text(styled: Option<&clap::builder::StyledStr>) -> String {
    styled.map(ToString::to_string).unwrap_or_default()
}

/// A page that is being written.
struct Roff {
    text: String,
}

impl Roff {
    fn new(name: &str, about: &str) -> Self {
        let version = env!("CARGO_PKG_VERSION");
        let mut page = Self {
            text: format!(
                ".TH {} 1 \"\" \"rpm-runtime {version}\" \"User Commands\"\n.ad l\n",
                name.to_uppercase()
            ),
        };
        page.section("NAME");
        let about = about.trim_end_matches('.');
        page.line(&format!("{name} - {about}"));
        page
    }

    fn section(&mut self, name: &str) {
        self.request("SH", name);
    }

    fn subsection(&mut self, name: &str) {
        self.request("SS", name);
    }

    fn bold(&mut self, words: &str) {
        self.request("B", words);
    }

    /// A request with one argument.
    fn request(&mut self, name: &str, argument: &str) {
        let argument = escaped(argument).replace('"', "\\(dq");
        let _ = writeln!(self.text, ".{name} \"{argument}\""); // a String takes everything
    }

    fn line(&mut self, line: &str) {
        let line = escaped(line);
        // The first letter of a line may make it a request.
        let guard = if line.starts_with(['.', '\'']) {
            "\\&"
        } else {
            ""
        };
        let _ = writeln!(self.text, "{guard}{line}"); // a String takes everything
    }

    /// A term, and indented below it what it is.
    fn item(&mut self, term: &str, what: &str) {
        self.text.push_str(".TP\n");
        self.bold(term);
        self.line(what);
    }

    /// Paragraphs. Lines that are indented stay lines: examples.
    fn prose(&mut self, text: &str) {
        for paragraph in text.split("\n\n").filter(|paragraph| !paragraph.is_empty()) {
            self.text.push_str(".PP\n");
            let (mut words, mut examples) = (Vec::new(), Vec::new());
            for line in paragraph.lines() {
                match line.strip_prefix("  ") {
                    Some(example) => examples.push(example),
                    None => words.push(line),
                }
            }
            if !words.is_empty() {
                self.line(&words.join(" "));
            }
            if !examples.is_empty() {
                self.text.push_str(".RS 4\n.nf\n");
                for example in examples {
                    self.line(example);
                }
                self.text.push_str(".fi\n.RE\n");
            }
        }
    }

    /// The options and words of a command.
    fn options(&mut self, command: &Command, which: impl Fn(&clap::Arg) -> bool) {
        let told = command.get_arguments().filter(|argument| {
            which(argument) && !argument.is_hide_set() && argument.get_id() != "help"
        });
        for argument in told {
            let shown = argument.to_string();
            let mut what = text(argument.get_help());
            let defaults: Vec<_> = argument.get_default_values().iter().collect();
            if argument.get_action().takes_values()
                && let [default] = defaults[..]
            {
                let _ = write!(what, " (default: {})", default.to_string_lossy()); // a String takes everything
            }
            self.item(&shown, &what);
        }
    }
}

/// A hyphen of a command is one that can be searched for and copied, and no dash.
fn escaped(text: &str) -> String {
    text.replace('\\', "\\e").replace('-', "\\-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_and_scripts_know_every_command_and_option() {
        let page = page(Page::Rpmctl);
        let scripts = [Shell::Bash, Shell::Zsh, Shell::Fish].map(completion);
        for command in Args::command().get_subcommands() {
            let name = command.get_name();
            if command.is_hide_set() {
                continue;
            }
            let heading = format!(".SS \"rpmctl {}", escaped(name));
            assert!(page.contains(&heading), "{heading}");
            for script in &scripts {
                assert!(script.contains(name), "{name}");
                for option in command.get_arguments().filter_map(clap::Arg::get_long) {
                    assert!(script.contains(option), "{name} --{option}");
                }
            }
            for option in command.get_arguments().filter_map(clap::Arg::get_long) {
                assert!(page.contains(&escaped(&format!("--{option}"))), "{option}");
            }
        }
    }

    #[test]
    fn the_page_of_the_runtime_has_every_variable_and_option() {
        let page = page(Page::RpmRuntime);
        for setting in config::settings() {
            assert!(page.contains(&format!(".B \"{}\"", setting.name())));
        }
        for option in ["\\-\\-check", "\\-\\-copy\\-to PATH", "\\-\\-healthcheck"] {
            assert!(
                page.contains(&format!(".TP\n.B \"{option}\"\n")),
                "{option}: {page}"
            );
        }
    }

    #[test]
    fn text_is_no_request_and_examples_stay_lines() {
        let mut page = Roff {
            text: String::new(),
        };
        page.line(".so /etc/passwd");
        page.line("'a\\b");
        page.prose("One\ntwo.\n\nExample:\n  rpmctl a\n  rpmctl b");
        assert_eq!(
            page.text,
            "\\&.so /etc/passwd\n\\&'a\\eb\n.PP\nOne two.\n.PP\nExample:\n.RS 4\n.nf\nrpmctl a\nrpmctl b\n.fi\n.RE\n"
        );
    }
}

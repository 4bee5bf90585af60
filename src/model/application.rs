//! What is known of the application, beside how it runs.

/// What the log, `/status` and the metrics show of the application. Unknown values are `None`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AppInfo {
    /// RPM_APP_NAME.
    pub name: String,
    /// Its version.
    pub version: Option<String>,
    /// The commit that it was made from.
    pub revision: Option<String>,
    /// The branch of that commit.
    pub branch: Option<String>,
}

/// What the files of the application tell of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// The nearest package.json with a name or a version.
    pub package: Option<Package>,
    /// The nearest repository.
    pub checkout: Option<Checkout>,
}

/// What a package.json tells.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Package {
    /// The path of the file.
    pub file: String,
    /// `name`.
    pub name: Option<String>,
    /// `version`.
    pub version: Option<String>,
}

/// What is checked out of a repository.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Checkout {
    /// The path of `.git` or `.hg`.
    pub place: String,
    /// The commit, in hexadecimal digits.
    pub revision: Option<String>,
    /// The branch; `None` for a commit that was checked out without one.
    pub branch: Option<String>,
    /// Why the commit is not known.
    pub fault: Option<String>,
}

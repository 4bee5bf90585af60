mod page;
mod page_cut;
mod page_hostile;
mod page_redirect;

mod page;
mod page_cut;
mod page_hostile;

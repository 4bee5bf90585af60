# A Rack application.
run lambda { |_env|
  [200, { "content-type" => "text/plain" }, ["hello from worker #{ENV['RPM_INSTANCE']}\n"]]
}

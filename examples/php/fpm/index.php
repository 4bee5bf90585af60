<?php
header('Content-Type: text/plain');
echo 'hello from worker ', getenv('RPM_INSTANCE'), "\n";

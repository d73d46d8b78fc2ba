-- The usage of a key is asked of the sums of its hours. Lines are read in the order they were written, and by their call.

drop index usage_events_by_key;
drop index usage_events_by_time;

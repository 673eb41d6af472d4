"""From a spec to a Plan, the plan's keys, and its views. Pure: runs nothing and changes nothing."""

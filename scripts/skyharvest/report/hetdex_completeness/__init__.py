"""The page that shows how complete HETDEX's emission lines are, and how well they are measured."""

"""The formats of programs that show findings beside the code, by their names as options have them."""

GITHUB, GITLAB = "github", "gitlab"
CI_FORMATS = (GITHUB, GITLAB)

"""MariaDB and MySQL, through mysqlclient."""

// On, in the place of the address that had the token in it.
location.replace("/");

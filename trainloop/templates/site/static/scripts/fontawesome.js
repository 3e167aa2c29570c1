/* In place of the theme's, which is 1.5 MB: the icons of these pages come from its font. */
